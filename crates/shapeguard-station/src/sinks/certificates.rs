//! Which certificates a server's own is checked with: those that the operating system trusts, a plant's own among them.

use std::path::Path;

use rumqttc::tokio_rustls::rustls::pki_types::CertificateDer;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject;

/// Those that the operating system trusts.
///
/// # Errors
/// A message, if there are none.
pub(super) fn trusted() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(
            "the operating system has no certificates to check a server's with; install them (Debian: ca-certificates)"
                .to_owned(),
        );
    }
    Ok(found)
}

/// Those of a PEM file.
///
/// # Errors
/// A message, if it cannot be read or holds none.
pub(super) fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: expected certificates in PEM: {error}", path.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| fail(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| fail(&error))?;
    if found.is_empty() { Err(fail(&"found none")) } else { Ok(found) }
}
