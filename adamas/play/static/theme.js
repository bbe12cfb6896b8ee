// Runs before the page is drawn, so that a remembered theme does not flash. A classic script: modules run later.

(() => {
  const key = "adamas-theme";
  const root = document.documentElement;
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  }

  function show(theme) {
    root.dataset.theme = theme ?? (prefersDark.matches ? "dark" : "light");
    window.dispatchEvent(new Event("themechange"));
  }

  show(remembered());
  prefersDark.addEventListener("change", () => show(remembered()));
  window.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const theme = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(key, theme);
      } catch {
        // private mode: the choice lasts as long as the page
      }
      show(theme);
    });
  });
})();
