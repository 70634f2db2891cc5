// The page works without this file. With it, results come in without a new page, and what is under way is watched.

const status = document.getElementById("status");

function announce(root) {
  const text = root.querySelector("[data-announce]")?.dataset.announce;
  if (text) status.textContent = text;
}

async function load(address, options = {}) {
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const headers = { "X-Swap": "1", ...(token && { "X-CSRF-Token": token }) };
  const response = await fetch(address, { ...options, headers, credentials: "same-origin" });
  return new DOMParser().parseFromString(await response.text(), "text/html");
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

function explainLoss(target) {
  const page = new DOMParser().parseFromString(
    '<section class="problem" role="alert" tabindex="-1" data-focus><h2>The service cannot be reached</h2>' +
      "<p>Nothing was lost on this page; try again in a moment.</p></section>", "text/html");
  return swap(target, page, "#nothing");
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const place = form.dataset.swap;
  if (!place) return;
  event.preventDefault();
  const selector = place === "card" ? "article.card" : `#${place}`;
  const target = place === "card" ? form.closest(selector) : document.querySelector(selector);
  if (target.getAttribute("aria-busy") === "true") return;
  const body = new FormData(form, event.submitter);
  target.setAttribute("aria-busy", "true");
  status.textContent = form.dataset.busy;
  let fresh;
  try {
    fresh = swap(target, await load(form.action, { method: "POST", body }), selector);
  } catch {
    fresh = explainLoss(target);
  }
  target.removeAttribute("aria-busy");
  announce(fresh);
  focusOn(fresh);
});

// Whatever carries data-poll is fetched anew after so many milliseconds, until it carries it no longer.
function watch() {
  const part = document.querySelector("[data-poll]");
  if (!part) return;
  setTimeout(async () => {
    if (document.hidden) return watch();
    try {
      const page = await load(location.href);
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
