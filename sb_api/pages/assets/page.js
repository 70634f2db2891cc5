// The page works without this file. With it, results come in without a new page, and what is under way is watched.

const status = document.getElementById("status");
const patience = 8_000; // milliseconds: after that whoever waits is told why it may be

function announce(root) {
  const place = root.querySelector("[data-announce]");
  if (place) status.textContent = place.dataset.announce || place.textContent;
}

async function load(address, options = {}, again = true) {
  const held = document.querySelector('meta[name="csrf-token"]');
  const token = held.content;
  const headers = { "X-Swap": "1", ...(token && { "X-CSRF-Token": token }) };
  const response = await fetch(address, { ...options, headers, credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (!page.querySelector("main")) throw new Error(`not an answer of this service: ${response.status}`);
  // Whoever has signed in again elsewhere has another token since this page was opened.
  held.content = page.querySelector('meta[name="csrf-token"]').content;
  if (response.status === 403 && again && held.content !== token) return load(address, options, false);
  page.failed = response.status >= 500;
  return page;
}

// Puts what came in the place of what was there; an error page shows its problem in the same place.
function swap(old, page, selector) {
  const found = page.querySelector(selector) ?? page.querySelector(".problem") ?? page.querySelector("main");
  const fresh = document.importNode(found, true);
  if (fresh.matches(selector)) old.replaceWith(fresh);
  else if (old.matches("article")) {
    old.querySelector(":scope > .problem")?.remove();
    old.prepend(fresh);
  } else old.replaceChildren(fresh);
  return fresh;
}

function focusOn(fresh) {
  const place = fresh.matches("[data-focus]") ? fresh : fresh.querySelector("[data-focus], h3[tabindex]");
  place?.focus({ preventScroll: true });
  (place ?? fresh).scrollIntoView({ block: "nearest" });
}

// A sentence at the end of what is busy, once it has been so for long; returns what takes it away again.
function explainDelay(target) {
  const note = document.createElement("p");
  note.className = "notice";
  note.setAttribute("role", "status");
  const timer = setTimeout(() => {
    target.append(note);
    note.textContent =
      "This takes longer than usual: the service is busy, or a part of it does not answer (the Service tab tells). " +
      "What you sent waits for its turn; it need not be sent again.";
  }, patience);
  return () => {
    clearTimeout(timer);
    note.remove();
  };
}

function explainLoss(target) {
  const page = new DOMParser().parseFromString(
    '<section class="problem" role="alert" tabindex="-1" data-focus><h2>The service cannot be reached</h2>' +
      "<p>What you wrote is still on this page; try again in a moment.</p></section>", "text/html");
  return swap(target, page, "#nothing");
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const place = form.dataset.swap;
  if (!place) return;
  event.preventDefault();
  const selector = place === "card" ? "article.card" : `#${place}`;
  const target = place === "card" ? form.closest(selector) : document.querySelector(selector);
  if (target.getAttribute("aria-busy") === "true") {
    if (form.dataset.quiet) form.dataset.again = "1";
    return;
  }
  const body = new FormData(form, event.submitter);
  target.setAttribute("aria-busy", "true");
  status.textContent = form.dataset.busy;
  let fresh;
  try {
    const page = await load(form.action, { method: "POST", body }).finally(explainDelay(target));
    fresh = swap(target, page, selector);
  } catch {
    fresh = explainLoss(target);
  }
  target.removeAttribute("aria-busy");
  announce(fresh);
  if (!form.dataset.quiet) focusOn(fresh); // whoever goes on writing stays where they are
  delete form.dataset.quiet;
  if (form.dataset.again) {
    delete form.dataset.again;
    form.dataset.quiet = "1";
    form.requestSubmit();
  }
});

// A form that has been judged is judged again with each change of a field.
document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (!form?.dataset.live || !document.querySelector(`#results ${form.dataset.live}`)) return;
  form.dataset.quiet = "1";
  form.requestSubmit();
});

// One key presses a button, while the focus is where the key is explained, or nowhere yet.
document.addEventListener("keydown", (event) => {
  const part = event.target.closest("[data-keys]");
  if (event.ctrlKey || event.altKey || event.metaKey || (!part && event.target !== document.body)) return;
  const named = `[data-key="${CSS.escape(event.key.toLowerCase())}"]:enabled`;
  const button = part?.querySelector(named) ?? document.querySelector(named);
  if (!button) return;
  event.preventDefault();
  button.click();
});

// A slider that stands for the rows of a table says what the row says that it is at.
document.addEventListener("input", (event) => {
  const { rows } = event.target.dataset;
  if (!rows) return;
  const row = document.querySelectorAll(`#${rows} tbody tr`)[event.target.value];
  document.getElementById(event.target.getAttribute("aria-describedby")).textContent = row.dataset.sentence;
});

// Whatever carries data-poll is fetched anew after so many milliseconds, until it carries it no longer.
function watch() {
  const part = document.querySelector("[data-poll]");
  if (!part) return;
  setTimeout(async () => {
    if (document.hidden) return watch();
    try {
      const page = await load(location.href);
      if (page.failed) throw new Error("not now");
      const again = page.getElementById(part.id);
      if (again?.dataset.poll) {
        part.replaceWith(document.importNode(again, true));
      } else {
        const main = document.importNode(page.querySelector("main"), true);
        document.querySelector("main").replaceWith(main);
        announce(main);
      }
      document.body.classList.remove("lost");
    } catch {
      document.body.classList.add("lost");
      status.textContent = "The service cannot be reached; trying again.";
    }
    watch();
  }, Number(part.dataset.poll));
}
watch();
