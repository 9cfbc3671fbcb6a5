//! The appearance expert: a frozen CNN that describes colour cell by cell.
