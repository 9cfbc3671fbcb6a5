// What operators say of a verdict. Nothing changes by it but the record, which says how thresholds would have to move.
import { actionButton, card, type App } from "../app";
import type { Feedback, FeedbackKind, Inspection } from "../contract";
import { h } from "../dom";
import { FEEDBACK_WORDS, time } from "../words";

const BUTTONS: { kind: FeedbackKind; text: string; of: Inspection["verdict"][] }[] = [
  { kind: "false-reject", text: "False reject: the part is good", of: ["rejected"] },
  { kind: "missed", text: "Missed: the part is defective", of: ["good"] },
  { kind: "confirmed", text: "Confirmed: the verdict is right", of: ["good", "rejected"] },
];

export function feedbackCard(app: App, one: Inspection, changed: (one: Inspection) => void): HTMLElement {
  const faults = h("div", {});
  const comment = h("textarea", { id: "comment", rows: 2, maxlength: 2000, disabled: one.verdict === "not-judged" });
  const buttons = BUTTONS.map(({ kind, text, of }) => {
    const send = async () => {
      const body = { kind, comment: comment.value.trim() || null };
      const updated = await app.api.post<Inspection>(`${one.links.self}/feedback`, body);
      app.announce(`Feedback recorded: ${FEEDBACK_WORDS[kind]}`);
      changed(updated);
    };
    const button = actionButton(text, faults, send);
    button.disabled = !of.includes(one.verdict);
    return button;
  });
  const earlier = one.feedback.length > 0 && h("ol", { class: "earlier" }, one.feedback.map(entry));
  const hint = one.verdict === "not-judged" ? "There is no verdict to say something about." : "What is true of this part?";
  return card(
    "Feedback",
    earlier,
    h("p", { class: "soft" }, hint),
    h("div", { class: "stack" }, h("label", { for: "comment" }, "Comment (optional)"), comment),
    h("div", { class: "feedback-buttons" }, buttons),
    faults,
  );
}

function entry({ at, kind, comment, by }: Feedback): HTMLElement {
  return h(
    "li",
    {},
    h("strong", {}, FEEDBACK_WORDS[kind]),
    h("span", { class: "soft" }, ` ${time(at)}${by === null ? "" : `, ${by}`}`),
    comment !== null && h("p", {}, comment),
  );
}
