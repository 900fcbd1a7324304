
"use strict";
(function () {
  // Colours: as the system has them, or light, or dark.
  var button = document.getElementById("theme");
  var root = document.documentElement;
  var themes = ["", "light", "dark"];
  var names = ["as the system", "light", "dark"];
  var theme = 0;
  button.hidden = false;
  button.addEventListener("click", function () {
    theme = (theme + 1) % themes.length;
    if (themes[theme]) { root.dataset.theme = themes[theme]; } else { delete root.dataset.theme; }
    button.textContent = "colours: " + names[theme];
  });

  // Pictures of instants: every mark says when it begins and ends (ns since the picture's origin).
  var LETTER = 6.4, LEAST = 1000, SPACE = "http://www.w3.org/2000/svg";

  function duration(ns) {
    var units = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
    for (var i = 0; i < units.length; i += 1) {
      if (ns >= units[i][0]) { return [units[i][0], units[i][1]]; }
    }
    return [1, "ns"];
  }

  function step(span, most) {
    var size = 1;
    for (;;) {
      for (var i = 0; i < 3; i += 1) {
        var one = size * [1, 2, 5][i];
        if (one * most >= span) { return one; }
      }
      size *= 10;
    }
  }

  function zooming(box, tools) {
    var svg = box.querySelector("svg");
    var data = svg.dataset;
    var length = Number(data.length), origin = Number(data.origin);
    var home = [Number(data.from), Number(data.to)];
    var from = home[0], to = home[1];
    var times = svg.querySelector(".times");
    var marks = Array.prototype.map.call(svg.querySelectorAll("[data-b]"), function (mark) {
      var word = mark.classList.contains("word") ? mark.textContent.length : 0;
      return { of: mark, b: Number(mark.dataset.b), e: Number(mark.dataset.e), word: word };
    });

    function place(mark, span, width) {
      var seen = mark.e >= from && mark.b <= to;
      if (mark.word) {
        var b = Math.max(mark.b, from), e = Math.min(mark.e, to);
        mark.of.classList.toggle("off", !seen || (e - b) / span * width < LETTER * mark.word + 4);
        if (seen) { mark.of.setAttribute("x", ((b + e) / 2 - from) / span * 100 + "%"); }
        return;
      }
      mark.of.setAttribute("display", seen ? "inline" : "none");
      if (!seen) { return; }
      mark.of.setAttribute("x", (mark.b - from) / span * 100 + "%");
      if (mark.e > mark.b) { mark.of.setAttribute("width", (mark.e - mark.b) / span * 100 + "%"); }
    }

    function add(name, attributes, text) {
      var made = document.createElementNS(SPACE, name);
      Object.keys(attributes).forEach(function (key) { made.setAttribute(key, attributes[key]); });
      if (text !== undefined) { made.textContent = text; }
      times.appendChild(made);
    }

    function axis(span, width) {
      var y = Number(times.dataset.y);
      var one = step(span, Math.max(Math.floor(width / 80), 3));
      var unit = duration(one);
      var zero = from - home[0];
      times.textContent = "";
      for (var n = Math.ceil(zero / one); n * one <= zero + span; n += 1) {
        var at = (n * one - zero) / span;
        var anchor = at < 0.05 ? "start" : at > 0.95 ? "end" : "middle";
        add("line", { x1: at * 100 + "%", y1: 0, x2: at * 100 + "%", y2: y, "class": "grid" });
        var said = String(n * one / unit[0]) + (n === 0 || at < 0.05 ? " " + unit[1] : "");
        add("text", { x: at * 100 + "%", y: y + 14, "class": "time", "text-anchor": anchor }, said);
      }
    }

    function show(begin, end) {
      var span = Math.min(Math.max(end - begin, LEAST), length);
      from = Math.min(Math.max(begin, 0), length - span);
      to = from + span;
      var width = svg.clientWidth || 900;
      marks.forEach(function (mark) { place(mark, span, width); });
      axis(span, width);
      var unit = duration(span);
      tools.querySelector("output").textContent = (span / unit[0]).toPrecision(4) + " " + unit[1] +
        " from " + ((origin + from) / 1e9).toFixed(9) + " s";
    }

    function zoom(factor, at) {
      var span = Math.min(Math.max((to - from) * factor, LEAST), length);
      var middle = from + (to - from) * at;
      show(middle - span * at, middle - span * at + span);
    }

    function move(part) { show(from + (to - from) * part, to + (to - from) * part); }

    var deeds = {
      "in": function () { zoom(0.5, 0.5); },
      out: function () { zoom(2, 0.5); },
      left: function () { move(-0.25); },
      right: function () { move(0.25); },
      reset: function () { show(home[0], home[1]); }
    };
    var keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", "0": "reset" };

    tools.hidden = false;
    tools.addEventListener("click", function (event) {
      var deed = deeds[event.target.dataset["do"]];
      if (deed) { deed(); }
    });
    box.addEventListener("keydown", function (event) {
      var deed = deeds[keys[event.key]];
      if (deed && !event.ctrlKey && !event.metaKey && !event.altKey) { deed(); event.preventDefault(); }
    });
    box.addEventListener("wheel", function (event) {
      if (!event.ctrlKey && document.activeElement !== box) { return; }
      var where = svg.getBoundingClientRect();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - where.left) / where.width);
      event.preventDefault();
    }, { passive: false });

    var held = null;
    box.addEventListener("pointerdown", function (event) {
      if (event.button !== 0) { return; }
      held = { x: event.clientX, from: from, to: to };
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", function (event) {
      if (!held) { return; }
      var moved = (held.x - event.clientX) / (svg.clientWidth || 900) * (held.to - held.from);
      show(held.from + moved, held.to + moved);
    });
    ["pointerup", "pointercancel"].forEach(function (name) {
      box.addEventListener(name, function () { held = null; });
    });
    window.addEventListener("resize", function () { show(from, to); });
    show(from, to);
  }

  document.querySelectorAll("[data-zooms]").forEach(function (box) {
    zooming(box, document.querySelector('.zoom[data-for="' + box.dataset.zooms + '"]'));
  });
})();
