// Texts of the scripts in the visitor's language: the app sends them as window.texts, English text -> text.
(() => {
  window.t = (english, values = {}) =>
    (window.texts?.[english] ?? english).replace(/\{(\w+)\}/g, (whole, name) => name in values ? String(values[name]) : whole)
  window.language = document.documentElement.lang || "en"

  // Gradio's own few words go by the browser's language; they are to be in the same one.
  const wanted = window.language === "zh" ? "zh-CN" : window.language
  if (!navigator.language.startsWith(window.language)) {
    Object.defineProperty(navigator, "language", { get: () => wanted, configurable: true })
    Object.defineProperty(navigator, "languages", { get: () => [wanted], configurable: true })
  }

  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("select[data-language]")) return
    const path = new URL(window.gradio_config?.root || "/", location.href).pathname
    document.cookie = `language=${event.target.value}; path=${path}; max-age=31536000; samesite=lax`
    location.reload()
  })

  const waiting = new MutationObserver(() => {
    const choice = document.querySelector("select[data-language]")
    if (!choice) return
    waiting.disconnect()
    choice.value = window.language
  })
  waiting.observe(document.documentElement, { childList: true, subtree: true })
})()
