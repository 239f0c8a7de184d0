"use strict";

/** The way in: which classes are taken for which, and the pictures of it. */
const MistakesView = (() => {
  const { element, say, count, percent } = Dom;
  const MOST_CLASSES = 12; // a matrix of more has no room
  let panel, list, cell = null, filter = "mistakes";

  function build(of) {
    panel = of;
    list = element("div", { class: "cards" });
    if (!App.data.pictures.some((_, k) => kind(k) === "mistakes")) filter = "all";
    const counts = confusion();
    panel.append(element("h2", {}, say("mistakes_heading")));
    if (counts) panel.append(element("p", {}, sentence(counts)), ...matrix(counts));
    else panel.append(element("p", {}, say("no_labels")));
    const filters = ["mistakes", "right", "all"].map((key) => [key, say(`filter_${key}`)]);
    panel.append(
      element("h3", { id: "pictures-heading", tabindex: -1 }, say("pictures_heading")),
      element("div", { class: "controls" },
        counts && Dom.choice("filter", say("show"), filters, filter,
          (value) => { [filter, cell] = [value, null]; fill(); }),
        element("p", { class: "cell-chosen", "aria-live": "polite" })),
      list);
    Dom.rove(list, "button");
    fill();
  }

  /** mistakes, right, or unknown. */
  function kind(k) {
    const { label } = App.data.pictures[k];
    if (label === null) return "unknown";
    return App.answer(k).predicted === label ? "right" : "mistakes";
  }

  function confusion() {
    if (!App.data.confusion) return null;
    const counts = App.data.classes.map(() => App.data.classes.map(() => 0));
    for (const [i, j, n] of App.data.confusion.cells) counts[i][j] = n;
    return counts;
  }

  function sentence(counts) {
    const all = counts.flat().reduce((a, b) => a + b, 0);
    const right = counts.reduce((sum, row, k) => sum + row[k], 0);
    return say("accuracy", { right: count(right), all: count(all), percent: percent(right / all) });
  }

  /** The classes with most mistakes, in their order; of many, those that no picture has or gets are left out. */
  function shownClasses(counts) {
    const errorsOf = (row, k) => row.reduce((sum, n, j) => sum + (j === k ? 0 : n + counts[j][k]), 0);
    const errors = counts.map(errorsOf);
    const isEmpty = (k) => !errors[k] && !counts[k][k];
    const some = counts.map((_, k) => k).filter((k) => counts.length <= MOST_CLASSES || !isEmpty(k));
    const ranked = some.sort((a, b) => errors[b] - errors[a] || a - b);
    return ranked.slice(0, MOST_CLASSES).sort((a, b) => a - b);
  }

  function matrix(counts) {
    const classes = shownClasses(counts);
    const body = element("tbody", {}, classes.map((i) => element("tr", {},
      element("th", { scope: "row" }, App.className(i)),
      classes.map((j) => element("td", {}, cellButton(counts, i, j))))));
    Dom.rove(body, "button");
    Dom.setStop([...body.querySelectorAll("button")], body.querySelector("button"));
    const left = counts.length - classes.length;
    const table = element("table", { class: "confusion", "aria-describedby": "confusion-text" },
      element("thead", {}, element("tr", {},
        element("td", {}, say("confusion_corner")),
        classes.map((j) => element("th", { scope: "col" }, element("span", {}, App.className(j)))))),
      body);
    return [element("div", { class: "wide" }, table), element("p", { class: "quiet", id: "confusion-text" },
      say("confusion_caption"), left ? ` ${say("confusion_left", { left })}` : null)];
  }

  function cellButton(counts, i, j) {
    const share = counts[i][j] / Math.max(counts[i].reduce((a, b) => a + b, 0), 1);
    const values = { true: App.className(i), predicted: App.className(j), count: count(counts[i][j]) };
    const button = element("button", {
      class: i === j ? "right" : counts[i][j] ? "wrong" : "zero",
      "aria-label": say("cell", values), title: say("cell", values),
      onclick: () => {
        cell = [i, j];
        fill();
        showPictures();
      },
    }, count(counts[i][j]));
    button.style.setProperty("--share", share);
    return button;
  }

  const showPictures = () => document.getElementById("pictures-heading").focus();

  /** Mistakes first, the surest first; what is right comes with the least sure first. */
  function order() {
    const rank = { mistakes: 0, right: 1, unknown: 2 };
    const sure = (k) => (kind(k) === "right" ? 1 : -1) * App.answer(k).probability;
    return App.data.pictures.map((_, k) => k)
      .sort((a, b) => rank[kind(a)] - rank[kind(b)] || sure(a) - sure(b));
  }

  function isShown(k) {
    const { label } = App.data.pictures[k];
    if (cell) return label === cell[0] && App.answer(k).predicted === cell[1];
    return filter === "all" || kind(k) === filter;
  }

  function fill() {
    const shown = order().filter(isShown);
    list.replaceChildren(...shown.map(card));
    if (shown.length) Dom.setStop([...list.children], list.firstChild);
    else list.append(element("p", {}, say(cell ? "no_pictures_of_cell" : "no_pictures")));
    const note = panel.querySelector(".cell-chosen");
    const [i, j] = cell || [0, 0];
    const values = { true: App.className(i), predicted: App.className(j), shown: shown.length };
    note.textContent = say(cell ? "cell_chosen" : App.data.confusion ? "pictures_shown" : "pictures_unlabelled", values);
    const showOthers = () => {
      cell = null;
      fill();
      showPictures();
    };
    if (cell) note.append(" ", element("button", { class: "small", onclick: showOthers }, say("cell_off")));
    for (const input of panel.querySelectorAll("input")) input.checked = !cell && input.value === filter;
  }

  function card(k) {
    const { name, label } = App.data.pictures[k];
    const { predicted, probability } = App.answer(k);
    const mark = kind(k) === "unknown" ? "" : kind(k) === "right" ? "✓ " : "✗ ";
    const open = () => App.go({ view: "picture", picture: k });
    return element("button", { class: `card ${kind(k)}`, onclick: open },
      Paint.picture(App.pixelsOf(k), App.pictureShape(k)),
      element("span", { class: "answer" },
        mark, App.className(predicted), element("b", {}, percent(probability))),
      label === null || label === predicted ? null
        : element("span", { class: "truth" }, say("true_class", { name: App.className(label) })),
      element("span", { class: "quiet name" }, name));
  }

  return { build, show: () => {} };
})();
