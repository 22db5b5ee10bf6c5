(() => {
  const faults = [];
  const say = (words, element) => faults.push(element ? `${words}: ${element.outerHTML.slice(0, 160)}` : words);
  const seen = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const all = (selector) => [...document.querySelectorAll(selector)];

  if (!document.documentElement.lang) say("the page has no language");
  if (!document.title.trim()) say("the page has no title");
  if (all("main").filter(seen).length !== 1) say("the page has not one main part");
  for (const nav of all("nav")) if (!nav.getAttribute("aria-label")) say("navigation without a name", nav);

  // Headings begin with one h1 and leave out no level.
  let level = 0;
  const headings = all("h1, h2, h3, h4, h5, h6").filter(seen);
  if (headings.filter((heading) => heading.tagName === "H1").length !== 1) say("the page has not one h1");
  for (const heading of headings) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) say(`a heading of level ${own} after one of ${level}`, heading);
    level = own;
  }

  for (const field of all("input:not([type=hidden]), select, textarea")) {
    if (!field.labels?.length && !field.getAttribute("aria-label")) say("a field without a label", field);
  }
  for (const element of all("button, a[href], summary")) {
    const name = element.innerText.trim() || element.textContent.trim() || element.getAttribute("aria-label");
    if (!name) say("something to press without a name", element);
  }
  for (const element of all("[aria-describedby], [aria-labelledby]")) {
    const ids = `${element.getAttribute("aria-describedby") ?? ""} ${element.getAttribute("aria-labelledby") ?? ""}`;
    for (const id of ids.trim().split(/\s+/)) if (!document.getElementById(id)) say(`refers to ${id}, which is not there`, element);
  }
  const ids = all("[id]").map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) say(`the id ${id} is there twice`);

  for (const table of all("table")) {
    if (!table.caption?.textContent.trim()) say("a table without a caption", table);
    for (const row of table.tBodies[0]?.rows ?? []) {
      if (!row.querySelector("th[scope=row]")) say("a row without a heading", row);
      for (const cell of row.cells) if (!cell.dataset.label) say("a cell without its heading", cell);
    }
    if (table.querySelectorAll("thead th[scope=col]").length === 0) say("a table without headings", table);
  }
  for (const picture of all("svg[role=img]")) {
    if (!picture.querySelector("title")?.textContent || !picture.querySelector("desc")?.textContent) say("a picture without words", picture);
  }
  for (const picture of all("img")) if (!picture.hasAttribute("alt")) say("a picture without words", picture);
  for (const element of all("*")) {
    for (const attribute of element.attributes) {
      if (attribute.name === "style" || attribute.name.startsWith("on")) say("something inline", element);
    }
  }

  // Contrast (WCAG 2.2, 1.4.3): 4.5, or 3 for large text.
  const parse = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    if (text.startsWith("color(srgb")) return [numbers[0] * 255, numbers[1] * 255, numbers[2] * 255, numbers[3] ?? 1];
    return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
  };
  const over = (top, below) => top.slice(0, 3).map((channel, n) => channel * top[3] + below[n] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    const canvas = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reverse().reduce((below, top) => over(top, below), canvas);
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((channel) => {
      const part = channel / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !seen(element) || element.closest(".unseen, .skip, svg, option")) continue;
    const style = getComputedStyle(element);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const back = ground(element);
    const ratio = contrast(over(parse(style.color), back), back);
    if (ratio < (large ? 3 : 4.5)) say(`contrast of ${ratio.toFixed(2)}`, element);
  }
  // And of the lines that show where a field is (1.4.11).
  for (const field of all("input:not([type=hidden]):not([type=checkbox]), select, textarea").filter(seen)) {
    const style = getComputedStyle(field);
    const ratio = contrast(parse(style.borderTopColor), ground(field.parentElement));
    if (ratio < 3) say(`contrast of ${ratio.toFixed(2)} around a field`, field);
  }

  // Nothing is wider than the screen, unless it can be scrolled by itself.
  if (document.documentElement.scrollWidth > window.innerWidth + 1) {
    const wide = all("body *").filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1 && !element.closest(".unseen"));
    say(`the page is ${document.documentElement.scrollWidth} wide and the screen ${window.innerWidth}`, wide[0]);
  }
  return faults;
})()
