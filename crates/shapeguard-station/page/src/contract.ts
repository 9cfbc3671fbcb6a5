// The station's HTTP contract, version 1, as types. Keys are never missing; what is unknown is null.

export type Verdict = "good" | "rejected" | "not-judged";
export type FeedbackKind = "false-reject" | "missed" | "confirmed";
export type Role = "inspect" | "manage";
export type Channel = "sdf" | "rgb" | "fused";

export interface Status {
  version: string;
  started_at: string;
  auth: "none" | "token";
  role: Role;
  queue: { waiting: number; running: number; capacity: number; workers: number };
  store: { inspections: number; bytes: number; free_bytes: number };
}

export interface Threshold {
  score: number;
  false_reject_rate: number;
  basis: "validation" | "leave-one-out";
  /** 95 % interval of the true false-reject rate. */
  interval: [number, number];
}

export interface Category {
  name: string;
  training_scans: number;
  validation_scans: number;
  good_peak: number;
  threshold: Threshold;
  /** Ascending. */
  good_scores: number[];
}

export interface ModelVersion {
  sha256: string;
  added_at: string;
  origin: "folder" | "upload" | "fit";
  bytes: number;
  program_version: string;
  active: boolean;
  activated_at: string | null;
}

export interface Drift {
  category: string;
  state: "collecting" | "steady" | "alarm";
  window: number;
  seen: number;
  superiority: number;
  since: string | null;
  message: string | null;
}

export interface Model {
  name: string;
  active: string;
  categories: Category[];
  routes: boolean;
  /** Newest first. */
  versions: ModelVersion[];
  drift: Drift[];
}

export interface CategoryFeedback {
  name: string;
  threshold: number;
  counts: { false_reject: number; missed: number; confirmed: number };
  to_accept_all_good: number | null;
  to_catch_all_defects: number | null;
  least_errors: { threshold: number; false_rejects: number; missed: number } | null;
  at_current: { false_rejects: number; missed: number };
}

/** What a list entry and a whole inspection have in common. */
interface Judged {
  id: string;
  received_at: string;
  model: string;
  model_sha256: string;
  category: string | null;
  serial: string | null;
  verdict: Verdict;
  score: number | null;
  threshold: number | null;
  p_value: number | null;
  reason: string | null;
}

export interface Summary extends Judged {
  warnings: number;
  regions: number;
  feedback: FeedbackKind | null;
  links: { self: string; thumbnail: string | null };
}

export interface Region {
  row: number;
  col: number;
  /** Inclusive pixel bounds in the scan. */
  top: number;
  left: number;
  bottom: number;
  right: number;
  xyz_m: [number, number, number] | null;
  area_mm2: number | null;
  pixels: number;
  peak: number;
  shares: { sdf: number; rgb: number };
}

/** How a score map lies on its scan: the scan was centred in a square, which was brought to `side` pixels. */
export interface MapPlacement {
  side: number;
  square_side: number;
  /** Rows and columns of the square before the scan's first. */
  offset: [number, number];
  good_peak: number;
}

export interface Feedback {
  at: string;
  kind: FeedbackKind;
  comment: string | null;
  by: string | null;
}

export interface Inspection extends Judged {
  warnings: string[];
  regions: Region[];
  feedback: Feedback[];
  meta: Record<string, string>;
  false_reject_rate: number | null;
  threshold_basis: Threshold["basis"] | null;
  routing: { confidence: number; nearest_category: string; distance: number } | null;
  scores: Record<Channel, number> | null;
  shares: { sdf: number; rgb: number } | null;
  peak: { row: number; col: number; xyz_m: [number, number, number] | null; value: number } | null;
  /** The map's value above which a pixel belongs to a region. */
  region_level: number | null;
  /** `[rows, cols]`. */
  scan_size: [number, number] | null;
  map: MapPlacement | null;
  patches: number | null;
  seconds: Record<string, number> | null;
  links: {
    self: string;
    thumbnail: string | null;
    image: string | null;
    maps: Record<Channel, string> | null;
    cloud: string | null;
  };
}

export interface Page {
  inspections: Summary[];
  next: string | null;
}

export interface Fit {
  id: string;
  model: string;
  preset: string;
  false_reject_rate: number;
  state: "collecting" | "waiting" | "fitting" | "done" | "failed" | "stopped";
  scans: number;
  stage: string | null;
  done: number;
  total: number;
  error: string | null;
  result: { sha256: string; category: Category } | null;
  skipped: { scan: string; reason: string }[];
  /** Good scans that the rate needs. */
  scans_needed: number;
}

/** What /v1/events tells, by the event's name. */
export interface StationEvents {
  inspection: Summary;
  feedback: { id: string; kind: FeedbackKind };
  models: { name: string };
  drift: Drift & { model: string };
  fit: Fit;
}
