// What a browser keeps for itself, and TensorBoard's switch.
(() => {
  const { make, put, button, address, call, post, recall, remember, whenThere } = window.kit
  const KEY = "kohya-gui-dark"

  function colours(choice) {
    choice.value = recall(KEY) ?? ""
    choice.addEventListener("change", () => { remember(KEY, choice.value || null); location.reload() })
  }

  async function board(place, said = "") {
    const { tensorboard } = await call("runs").catch(() => ({}))
    const steer = (what) => async (event) => {
      event.target.disabled = true
      board(place, await post(`tensorboard/${what}`).then(() => "", (error) => error.message))
    }
    const open = make("a", { href: address("tensorboard/ui/"), target: "_blank", rel: "noopener" }, t("Open"))
    put(place, make("span", { role: "status" }, said || (tensorboard ? t("running") : t("not running"))),
      ...(tensorboard ? [open, button(t("Stop"), steer("stop"))] : [button(t("Start"), steer("start"))]))
  }

  whenThere("settings-board", board)
  whenThere("set-colours", colours)
  whenThere("set-language", (choice) => { choice.value = window.language })
})()
