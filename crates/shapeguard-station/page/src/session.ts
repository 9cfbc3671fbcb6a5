// Who is at the station: the question for a token, and what their role lets them do.
import { h } from "./dom";
import type { Role } from "./contract";

/** Asks for a token until one is given. The dialog cannot be dismissed: without a token there is nothing to show. */
export function askForToken(refused: boolean): Promise<string> {
  return new Promise((resolve) => {
    const input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
    const form = h(
      "form",
      { method: "dialog", class: "stack" },
      h("h2", { id: "token-title" }, "This station asks for a token"),
      refused && h("p", { class: "fault", role: "alert" }, "The station does not know the last token, or no longer."),
      h("p", { class: "soft", id: "token-note" }, "Whoever runs the station gives it out. It is kept for this tab alone, until the tab is closed."),
      h("label", { for: "token" }, "Token"),
      input,
      h("button", { class: "primary" }, "Go on"),
    );
    const dialog = h("dialog", { "aria-labelledby": "token-title", "aria-describedby": "token-note", class: "card" }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(input.value.trim());
    });
    form.addEventListener("submit", (event) => {
      if (input.value.trim() === "") event.preventDefault();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

const EXPLANATION = "manage-explanation";

/** Disables a control that needs the role `manage` where the role is `inspect`, and lets it say why. */
export function manageOnly<E extends HTMLButtonElement | HTMLInputElement | HTMLSelectElement>(control: E, role: Role): E {
  if (role === "inspect") {
    control.disabled = true;
    control.setAttribute("aria-describedby", EXPLANATION);
  }
  return control;
}

/** The explanation that disabled controls point to; one per view. */
export function manageExplanation(role: Role): HTMLElement | null {
  if (role === "manage") return null;
  return h(
    "p",
    { class: "note-box", id: EXPLANATION },
    "Your token has the role “inspect”. Changing models and fitting need a token with the role “manage”: use “Change token” above.",
  );
}
