// Texts that a reader cannot get to: outside the window or cut by a box, unless that box scrolls; and
// in a chart those that leave it or lie on one another.
(() => {
  const cut = [], wide = document.documentElement.clientWidth;
  const scrolls = (box) => /auto|scroll/.test(getComputedStyle(box).overflowX + getComputedStyle(box).overflowY);
  const hides = (box) => /hidden|clip/.test(getComputedStyle(box).overflowX + getComputedStyle(box).overflowY);
  const walk = document.createTreeWalker(document.body || document.documentElement, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (!node.data.trim() || node.parentElement.closest("style, title, desc, svg")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const at of range.getClientRects()) {
      let left = 0, right = wide;
      for (let box = node.parentElement; box; box = box.parentElement) {
        if (scrolls(box)) { left = -Infinity; right = Infinity; break; }
        if (hides(box)) {
          const edge = box.getBoundingClientRect();
          left = Math.max(left, edge.left); right = Math.min(right, edge.right);
        }
      }
      if (at.left < left - 1 || at.right > right + 1) cut.push(node.data.trim().slice(0, 60));
    }
  }
  for (const chart of document.querySelectorAll(".chart")) {
    const edge = (chart.closest("svg") || chart).getBoundingClientRect();
    const texts = [...chart.querySelectorAll("text")].filter((text) => text.textContent.trim());
    const at = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, i) => {
      const words = text.textContent.slice(0, 60);
      if (at[i].left < edge.left - 1 || at[i].right > edge.right + 1 ||
          at[i].top < edge.top - 1 || at[i].bottom > edge.bottom + 1) cut.push("in a chart: " + words);
      if (text.classList.contains("note")) return;
      for (let j = i + 1; j < texts.length; j++) {
        if (texts[j].classList.contains("note")) continue;
        const over = Math.min(at[i].right, at[j].right) - Math.max(at[i].left, at[j].left);
        const high = Math.min(at[i].bottom, at[j].bottom) - Math.max(at[i].top, at[j].top);
        if (over > 1 && high > 4) cut.push("on one another: " + words + " / " + texts[j].textContent.slice(0, 60));
      }
    });
  }
  return cut;
})()
