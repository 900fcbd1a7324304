
"use strict";
(function () {
  // Colours: as the system has them, or light, or dark.
  var button = document.getElementById("theme");
  var root = document.documentElement;
  var themes = ["", "light", "dark"];
  var names = { "": "as the system", light: "light", dark: "dark" };
  var theme = 0;
  button.hidden = false;
  button.addEventListener("click", function () {
    theme = (theme + 1) % themes.length;
    if (themes[theme]) { root.dataset.theme = themes[theme]; } else { delete root.dataset.theme; }
    button.textContent = "colours: " + names[themes[theme]];
  });
})();
