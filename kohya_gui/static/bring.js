// What was made on the Dataset page goes into the form of the Train page, and can be taken out again there.
(() => {
  const { make, recall, remember, address } = window.kit
  const t = window.t
  const KEY = "kohya-gui-brought"

  // values: by key. words: what is said of them.
  window.bringToForm = (values, words) => {
    remember(KEY, JSON.stringify({ values, words }))
    location.href = address("").replace(/live\/$/, "")
  }

  document.addEventListener("form-restored", () => {
    const brought = recall(KEY)
    if (!brought) return
    remember(KEY, null)
    const { values, words } = JSON.parse(brought)
    const said = make("section", { class: "notes", role: "status" }, make("ul", {}, make("li", { class: "quiet" }, make("span", {}, words))),
      make("div", { class: "buttons" }, make("button", { type: "button", class: "offer-undo" }, t("Undo"))))
    window.trainForm.set(values, { said: said.outerHTML, undo: true })
  })
})()
