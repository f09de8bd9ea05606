{
  const views = document.getElementById("views");
  const order = document.getElementById("order");
  const collator = new Intl.Collator(document.documentElement.lang, { numeric: true });
  const orders = {
    page: (a, b) => a.dataset.place - b.dataset.place,
    findings: (a, b) => b.dataset.findings - a.dataset.findings || a.dataset.place - b.dataset.place,
    name: (a, b) => collator.compare(a.dataset.name, b.dataset.name),
  };
  if (order) order.addEventListener("change", () => views.append(...[...views.children].sort(orders[order.value])));
}
