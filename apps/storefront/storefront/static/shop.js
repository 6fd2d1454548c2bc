// The basket lives in this browser alone, so every page can be cached by a proxy for everyone.
"use strict";

const KEY = "basket";
const $ = (name) => document.querySelector(`[data-${name}]`);
const money = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
const euros = (cents) => money.format(cents / 100);

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return kept && typeof kept === "object" ? kept : {};
  } catch {
    return {};
  }
}

function save(basket) {
  try {
    localStorage.setItem(KEY, JSON.stringify(basket));
  } catch {
    // A browser that keeps nothing still shops until the page is left.
  }
  draw(basket);
}

function line(slug, item) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  const price = document.createElement("b");
  const less = document.createElement("button");
  name.textContent = `${item.count} × ${item.name}`;
  price.textContent = euros(item.count * item.price);
  less.type = "button";
  less.textContent = "−";
  less.setAttribute("aria-label", `One ${item.name} less`);
  less.addEventListener("click", () => {
    item.count -= 1;
    if (item.count < 1) delete basket[slug];
    save(basket);
  });
  row.append(name, price, less);
  return row;
}

function draw(basket) {
  const items = Object.entries(basket);
  const total = items.reduce((sum, [, item]) => sum + item.count * item.price, 0);
  $("basket-count").textContent = items.reduce((sum, [, item]) => sum + item.count, 0);
  $("lines").replaceChildren(...items.map(([slug, item]) => line(slug, item)));
  $("empty").hidden = items.length > 0;
  $("total").textContent = euros(total);
}

const basket = load();
draw(basket);

for (const button of document.querySelectorAll("[data-add]")) {
  button.addEventListener("click", () => {
    const { add, name, price } = button.dataset;
    basket[add] ??= { name, price: Number(price), count: 0 };
    basket[add].count += 1;
    save(basket);
    button.classList.add("added");
    setTimeout(() => button.classList.remove("added"), 600);
  });
}

$("basket").addEventListener("click", () => $("drawer").showModal());
$("close").addEventListener("click", () => $("drawer").close());
$("drawer").addEventListener("click", (event) => {
  if (event.target === $("drawer")) $("drawer").close();
});

fetch("/api/whoami", { cache: "no-store" })
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
  .then(({ host, release }) => {
    $("host").textContent = host;
    $("release").textContent = release;
    $("whoami").hidden = false;
  })
  .catch(() => {});
