// Which picked files make up a scan, by the rules that the program itself has for folders: `xyz/` and `rgb/` with one file
// per scan each, paired by name; or clouds with their own colours or an image of the same name beside them.

const CLOUDS = ["tiff", "tif", "pcd", "ply", "npz", "npy"];
const IMAGES = ["png", "jpg", "jpeg", "bmp"];
/** Clouds in the first folder belong to the images of the same name in the second. */
const SHAPE_FOLDER = "xyz";
const COLOUR_FOLDER = "rgb";
/** Folders of clouds that need no images: they count as the folder they lie in. */
const CLOUD_FOLDERS = ["pcd", "ply", "npz", "clouds"];
/** Clouds of these kinds never have colours of their own. */
const COLOURLESS = ["tiff", "tif"];

/** A file with its path inside what was picked. */
export interface PickedFile<F = File> {
  path: string;
  file: F;
}

export interface Scan<F = File> {
  name: string;
  cloud: PickedFile<F>;
  rgb: PickedFile<F> | null;
}

export interface Pairing<F = File> {
  scans: Scan<F>[];
  /** What could not be used and why. */
  problems: { path: string; reason: string }[];
}

export function pairFiles<F>(files: PickedFile<F>[]): Pairing<F> {
  const problems: Pairing<F>["problems"] = [];
  const entries = files.map(describe).filter((entry) => !entry.hidden);
  entries.sort((a, b) => a.picked.path.localeCompare(b.picked.path, "en", { numeric: true }));

  const images = new Map<string, Entry<F>>();
  for (const image of entries.filter((entry) => IMAGES.includes(entry.extension))) {
    images.set(`${image.folder}/${image.stem}`, image);
  }
  const used = new Set<Entry<F>>();
  const scans: Scan<F>[] = [];
  const taken = new Map<string, string>();
  for (const cloud of entries.filter((entry) => CLOUDS.includes(entry.extension))) {
    const { picked, folder, parent, last, stem } = cloud;
    const inRgb = images.get(`${join(parent, COLOUR_FOLDER)}/${stem}`);
    const rgb = (last === SHAPE_FOLDER ? inRgb : undefined) ?? images.get(`${folder}/${stem}`) ?? inRgb ?? null;
    if (rgb) used.add(rgb);
    const other = taken.get(stem);
    if (other !== undefined) {
      problems.push({ path: picked.path, reason: `has the same name as ${other}; rename or leave out one of them` });
    } else if (!rgb && (last === SHAPE_FOLDER || COLOURLESS.includes(cloud.extension))) {
      const wanted = last === SHAPE_FOLDER ? `${join(parent, COLOUR_FOLDER)}/${stem}.png` : `${stem}.png beside it`;
      problems.push({ path: picked.path, reason: `has no colour image; expected ${wanted}` });
    } else {
      taken.set(stem, picked.path);
      scans.push({ name: stem, cloud: picked, rgb: rgb?.picked ?? null });
    }
  }
  for (const image of images.values()) {
    if (used.has(image)) continue;
    const reason =
      image.last === "depth"
        ? "depth images cannot be uploaded here; run `shapeguard fit` and upload the model, or convert them to clouds"
        : "has no cloud of the same name";
    problems.push({ path: image.picked.path, reason });
  }
  return { scans, problems };
}

interface Entry<F> {
  picked: PickedFile<F>;
  folder: string;
  /** The folder that `xyz/`, `rgb/` and the like lie in. */
  parent: string;
  /** The folder's own name. */
  last: string;
  stem: string;
  extension: string;
  hidden: boolean;
}

function describe<F>(picked: PickedFile<F>): Entry<F> {
  const parts = picked.path.split("/").filter((part) => part !== "");
  const name = parts.pop() ?? "";
  const dot = name.lastIndexOf(".");
  const last = parts.at(-1) ?? "";
  const inner = last === SHAPE_FOLDER || last === COLOUR_FOLDER || last === "depth" || CLOUD_FOLDERS.includes(last);
  return {
    picked,
    folder: parts.join("/"),
    parent: (inner ? parts.slice(0, -1) : parts).join("/"),
    last,
    stem: dot > 0 ? name.slice(0, dot) : name,
    extension: dot > 0 ? name.slice(dot + 1).toLowerCase() : "",
    hidden: name.startsWith(".") || parts.some((part) => part.startsWith(".")),
  };
}

function join(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

/** The files of a drop, folders gone through. */
export async function droppedFiles(items: DataTransferItemList): Promise<PickedFile[]> {
  // The list is emptied as soon as the event is over, so all entries are taken before the first wait.
  const entries = Array.from(items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return (await Promise.all(entries.map(filesUnder))).flat();
}

async function filesUnder(entry: FileSystemEntry): Promise<PickedFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: FileSystemEntry[] = [];
  // A reader hands out a hundred entries or so at a time, and none at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesUnder))).flat();
}

/** The files of an <input type=file>, with their folders where a folder was picked. */
export function pickedFiles(list: FileList): PickedFile[] {
  return Array.from(list, (file) => ({ path: file.webkitRelativePath || file.name, file }));
}
