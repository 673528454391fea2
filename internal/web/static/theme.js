// Runs before the page is drawn, so that it is not drawn in the other theme first.
"use strict";
try {
  const chosen = localStorage.getItem("rollcall-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* storage is off: the system's theme it is */ }
