// What a browser keeps for itself, and TensorBoard's switch.
(() => {
  const KEY = "kohya-gui-dark"
  const root = () => new URL(window.gradio_config?.root || "/", location.href).pathname.replace(/\/$/, "")

  function colours(choice) {
    let kept = ""
    try { kept = localStorage.getItem(KEY) ?? "" } catch { /* private window */ }
    choice.value = kept
    choice.addEventListener("change", () => {
      try { choice.value ? localStorage.setItem(KEY, choice.value) : localStorage.removeItem(KEY) } catch { /* private window */ }
      location.reload()
    })
  }

  function button(words, action) {
    const made = document.createElement("button")
    made.type = "button"
    made.textContent = words
    made.addEventListener("click", async () => { made.disabled = true; await action() })
    return made
  }

  async function board(place, said = "") {
    const answer = await fetch(`${root()}/live/runs`)
    const { tensorboard } = answer.ok ? await answer.json() : {}
    const steer = (what) => async () => {
      const told = await fetch(`${root()}/live/tensorboard/${what}`, { method: "POST", headers: { "x-live": "1" } })
      board(place, told.ok ? "" : (await told.json()).error || "")
    }
    const open = document.createElement("a")
    open.href = `${root()}/live/tensorboard/ui/`
    open.target = "_blank"
    open.rel = "noopener"
    open.textContent = t("Open")
    const state = document.createElement("span")
    state.setAttribute("role", "status")
    state.textContent = said || (tensorboard ? t("running") : t("not running"))
    place.replaceChildren(state, ...(tensorboard ? [open, button(t("Stop"), steer("stop"))] : [button(t("Start"), steer("start"))]))
  }

  const waiting = new MutationObserver(() => {
    const place = document.getElementById("settings-board"), choice = document.getElementById("set-colours")
    if (!place || !choice) return
    waiting.disconnect()
    colours(choice)
    document.getElementById("set-language").value = window.language
    board(place)
  })
  waiting.observe(document.documentElement, { childList: true, subtree: true })
})()
