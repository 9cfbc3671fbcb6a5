// The 3D view of a cloud. A bundle of its own, loaded when a cloud is first shown, since three is larger than the rest of
// the page. Draws when something has changed and not otherwise: a station's screen is on all day.
import {
  Box3,
  BufferAttribute,
  BufferGeometry,
  Box3Helper,
  CanvasTexture,
  PerspectiveCamera,
  Points,
  PointsMaterial,
  Scene,
  Spherical,
  Sprite,
  SpriteMaterial,
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import type { Region } from "../contract";
import { heatColour, level } from "../map/heat";
import type { Cloud } from "./ply";
import { relief } from "./relief";

export type Colouring = "score" | "own";

export interface Viewer {
  colourBy(colouring: Colouring): void;
  markRegions(shown: boolean): void;
  dispose(): void;
}

/** Neutral, dark enough for bright heat and bright enough for dark parts, in light and dark pages alike. */
const BACKGROUND = 0x56616d;
/** The part without heat in score colours. */
const CLAY = [190, 194, 200];
const MARK = 0x5be7ff;
const FIELD_OF_VIEW = 35;
const HALF_FIELD = Math.tan((FIELD_OF_VIEW / 2) * (Math.PI / 180));
/** Parts are flat, so that their bounding sphere may stick out of the picture a little. */
const FILLED = 1.15;
/** The start: a little from above and from the side, so that relief shows. */
const START = { azimuth: -0.35, elevation: 0.5 };
const KEY_TURN = (8 * Math.PI) / 180;
const KEY_ZOOM = 1.15;
/** Size of a region's number on the screen, as a share of the picture's height. */
const LABEL_SIZE = 0.05;

export function openViewer(canvas: HTMLCanvasElement, cloud: Cloud, regions: Region[], goodPeak: number, regionLevel: number): Viewer {
  const renderer = new WebGLRenderer({ canvas, antialias: true });
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  renderer.setClearColor(BACKGROUND);
  const scene = new Scene();
  const camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.001, 100);

  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(upright(cloud), 3));
  geometry.computeBoundingSphere();
  const { center: centre, radius } = geometry.boundingSphere!;
  const material = new PointsMaterial({ size: pointSize(cloud), vertexColors: true });
  scene.add(new Points(geometry, material));
  const shades = relief(cloud);
  const marks = regions.flatMap((region, i) => mark(cloud, region, i + 1, regionLevel, radius));
  if (marks.length > 0) scene.add(...marks);

  const controls = new OrbitControls(camera, canvas);
  controls.zoomToCursor = true;
  // The wheel scrolls the page until the view has been clicked or reached by keyboard.
  controls.enableZoom = false;
  const render = () => renderer.render(scene, camera);
  controls.addEventListener("change", render);

  const home = () => {
    const distance = radius / (FILLED * HALF_FIELD * Math.min(1, camera.aspect));
    camera.near = distance / 100;
    camera.far = distance * 20;
    camera.updateProjectionMatrix();
    controls.target.copy(centre);
    camera.position.setFromSpherical(new Spherical(distance, Math.PI / 2 - START.elevation, START.azimuth)).add(centre);
    controls.update();
    render();
  };
  const resized = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (width === 0 || height === 0) return;
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    render();
  });
  const listening = new AbortController();
  const { signal } = listening;
  canvas.addEventListener("focus", () => (controls.enableZoom = true), { signal });
  canvas.addEventListener("blur", () => (controls.enableZoom = false), { signal });
  canvas.addEventListener("pointerdown", () => canvas.focus(), { signal });
  canvas.addEventListener(
    "keydown",
    (event) => {
      const move = KEYS[event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (move === "home") return home();
      const around = new Spherical().setFromVector3(camera.position.clone().sub(controls.target));
      around.theta += (move.turn ?? 0) * KEY_TURN;
      around.phi += (move.tilt ?? 0) * KEY_TURN;
      around.radius *= KEY_ZOOM ** (move.zoom ?? 0);
      around.makeSafe();
      camera.position.setFromSpherical(around).add(controls.target);
      controls.update();
      render();
    },
    { signal },
  );

  const viewer: Viewer = {
    colourBy(colouring) {
      const colours = colouring === "own" ? cloud.rgb : scoreColours(cloud, goodPeak);
      const shaded = new Uint8Array(colours.length);
      for (let i = 0; i < colours.length; i++) shaded[i] = colours[i] * shades[Math.floor(i / 3)];
      geometry.setAttribute("color", new BufferAttribute(linear(shaded), 3, true));
      render();
    },
    markRegions(shown) {
      for (const object of marks) object.visible = shown;
      render();
    },
    dispose() {
      listening.abort();
      resized.disconnect();
      controls.dispose();
      geometry.dispose();
      material.dispose();
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
  viewer.colourBy("score");
  camera.aspect = canvas.clientWidth / Math.max(1, canvas.clientHeight);
  home();
  resized.observe(canvas);
  return viewer;
}

interface Move {
  turn?: number;
  tilt?: number;
  zoom?: number;
}

const KEYS: Record<string, Move | "home"> = {
  ArrowLeft: { turn: -1 },
  ArrowRight: { turn: 1 },
  ArrowUp: { tilt: -1 },
  ArrowDown: { tilt: 1 },
  "+": { zoom: -1 },
  "=": { zoom: -1 },
  "-": { zoom: 1 },
  Home: "home",
};

/** The camera's frame has y down and z away; the screen's has y up and z towards one. */
function upright({ xyz_m }: Cloud): Float32Array {
  return xyz_m.map((value, i) => (i % 3 === 0 ? value : -value));
}

/** Heat over clay, as in the program's overlays: nothing below half of what good parts reach, full heat from there on. */
function scoreColours({ score, points }: Cloud, goodPeak: number): Uint8Array {
  const colours = new Uint8Array(3 * points);
  for (let i = 0; i < points; i++) {
    const at = level(score[i], goodPeak);
    const cover = Math.min(1, Math.max(0, (at - 0.25) / 0.25));
    const heat = heatColour(at);
    for (let c = 0; c < 3; c++) colours[3 * i + c] = CLAY[c] * (1 - cover) + heat[c] * cover;
  }
  return colours;
}

/** Screen colours as the linear ones that the renderer wants; 16 bits, or dark colours would be lost. */
function linear(colours: Uint8Array): Uint16Array {
  const table = Uint16Array.from({ length: 256 }, (_, value) => {
    const share = value / 255;
    return 65535 * (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
  });
  return Uint16Array.from(colours, (value) => table[value]);
}

/** Points a little larger than the gaps between them, so that the surface looks closed. three leaves out the field of view. */
function pointSize({ points, xyz_m }: Cloud): number {
  const box = new Box3().setFromArray(xyz_m);
  const size = box.getSize(new Vector3());
  return (1.3 * Math.sqrt((size.x * size.y) / Math.max(1, points))) / HALF_FIELD;
}

/** A box around a region's points and its number above it. */
function mark(cloud: Cloud, region: Region, number: number, regionLevel: number, radius: number): (Box3Helper | Sprite)[] {
  const box = new Box3();
  for (let i = 0; i < cloud.points; i++) {
    const [row, col] = [cloud.row[i], cloud.col[i]];
    const inside = row >= region.top && row <= region.bottom && col >= region.left && col <= region.right;
    if (inside && cloud.score[i] >= regionLevel) {
      box.expandByPoint(new Vector3(cloud.xyz_m[3 * i], -cloud.xyz_m[3 * i + 1], -cloud.xyz_m[3 * i + 2]));
    }
  }
  if (box.isEmpty()) {
    if (!region.xyz_m) return [];
    const [x, y, z] = region.xyz_m;
    box.expandByPoint(new Vector3(x, -y, -z));
  }
  box.expandByScalar(0.01 * radius);
  const label = new Sprite(new SpriteMaterial({ map: numberTexture(number), sizeAttenuation: false, depthTest: false }));
  label.scale.setScalar(LABEL_SIZE * 2 * HALF_FIELD);
  label.center.set(0.5, -0.3);
  label.position.set((box.min.x + box.max.x) / 2, box.max.y, box.max.z);
  return [new Box3Helper(box, MARK), label];
}

function numberTexture(number: number): CanvasTexture {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d")!;
  context.fillStyle = `#${MARK.toString(16)}`;
  context.beginPath();
  context.arc(32, 32, 31, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = "#000";
  context.font = "bold 40px sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(String(number), 32, 35);
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  return texture;
}
