// What concerns every page: keys on demand, light and dark, and numbers that the arrow keys step.
(() => {
  const { remember, recall, whenThere } = window.kit

  const toggles = {
    "toggle-keys": { name: "kohya-gui-keys", apply: (on) => document.body.classList.toggle("show-keys", on), initial: () => false },
    "toggle-dark": {
      name: "kohya-gui-dark",
      apply: (on) => { document.body.classList.toggle("dark", on); document.dispatchEvent(new Event("colours")) },
      initial: () => matchMedia("(prefers-color-scheme: dark)").matches,
    },
  }
  const state = (toggle) => { const kept = recall(toggle.name); return kept === null ? toggle.initial() : kept === "1" }
  const show = (id) => {
    const on = state(toggles[id])
    toggles[id].apply(on)
    document.getElementById(id)?.setAttribute("aria-pressed", String(on))
  }

  // Numbers are text fields; the arrow keys step them as in a number field.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return
    const size = [...event.target.closest?.(".number")?.classList ?? []].find((name) => name.startsWith("step:"))
    if (!size || !Number.isFinite(+event.target.value)) return
    event.preventDefault()
    const step = +size.slice(5) * (event.key === "ArrowUp" ? 1 : -1)
    event.target.value = String(+(+event.target.value + step).toPrecision(12))
    event.target.dispatchEvent(new Event("input", { bubbles: true }))
  })

  document.addEventListener("click", (event) => {
    const toggle = event.target.closest?.("#toggle-keys, #toggle-dark")
    if (toggle) {
      remember(toggles[toggle.id].name, state(toggles[toggle.id]) ? "0" : "1")
      return show(toggle.id)
    }
  })

  whenThere("toggle-dark", () => {
    Object.keys(toggles).forEach(show)
    document.querySelector("#top nav [aria-current]").scrollIntoView({ block: "nearest", inline: "center" }) // where all don't fit
  })
})()
