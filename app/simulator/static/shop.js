/* The demo shop: a basket that counts, and a message if the widget can't be loaded. */

window.addEventListener("error", (event) => {
  if (event.target instanceof HTMLScriptElement && event.target.dataset.site) {
    document.addEventListener("readystatechange", showMissing);
    showMissing();
  }
}, true);

function showMissing() {
  const missing = document.getElementById("missing");
  if (missing) missing.hidden = false;
}

document.addEventListener("DOMContentLoaded", () => {
  const basket = document.getElementById("basket");
  document.getElementById("add").addEventListener("click", () => {
    basket.textContent = String(Number(basket.textContent) + 1);
  });
});
