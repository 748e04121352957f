// The page is light or dark as the system is, or as the reader wants it; loaded before the page is
// drawn, so that it never flashes.
(function () {
  "use strict";
  var themes = ["auto", "light", "dark"];
  var root = document.documentElement;

  function stored() {
    try { return localStorage.getItem("asteroid-bsrnn-theme"); } catch (error) { return null; }
  }

  function apply(theme) {
    root.dataset.theme = theme;
    var button = document.querySelector("[data-theme-button]");
    if (button) button.querySelector("span").textContent = theme;
  }

  var theme = themes.indexOf(stored()) < 0 ? "auto" : stored();
  apply(theme);
  document.addEventListener("DOMContentLoaded", function () {
    apply(theme);
    document.querySelector("[data-theme-button]").addEventListener("click", function () {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      try { localStorage.setItem("asteroid-bsrnn-theme", theme); } catch (error) { /* not kept */ }
      apply(theme);
    });
  });
})();
