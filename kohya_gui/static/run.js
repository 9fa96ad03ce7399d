// What the live view, the list of runs and their comparison have in common: asking the app, making elements, words.
(() => {
  const t = window.t
  // Only the path: behind a proxy the app may not know under which scheme and name it is seen.
  const root = () => new URL(window.gradio_config?.root || "/", location.href).pathname.replace(/\/$/, "")
  const address = (path) => `${root()}/live/${path}`
  const of = (run) => `runs/${encodeURIComponent(run)}`

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value)
      else if (name === "class") made.className = value
      else if (value === true) made.setAttribute(name, "")
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value)
    }
    made.append(...children.filter((child) => child !== null && child !== undefined && child !== false))
    return made
  }
  const put = (place, ...children) => place.replaceChildren(...children.filter(Boolean))
  const button = (words, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, words)
  const number = (value) => value.toLocaleString("en")

  function duration(seconds) {
    const s = Math.round(seconds), parts = [[86400, t("d")], [3600, t("h")], [60, t("min")], [1, t("s")]]
    const first = parts.findIndex(([size]) => s >= size)
    if (first < 0) return `0 ${t("s")}`
    const [size, unit] = parts[first], [next, small] = parts[first + 1] || []
    const rest = next ? Math.floor((s % size) / next) : 0
    return `${Math.floor(s / size)} ${unit}` + (rest ? ` ${rest} ${small}` : "")
  }
  const pace = (rate) => rate >= 1 ? t("{n} steps/s", { n: rate.toFixed(rate < 10 ? 2 : 1) }) : t("{n} s/step", { n: (1 / rate).toFixed(1) })
  const bytes = (count) => count >= 2 ** 30 ? `${(count / 2 ** 30).toFixed(1)} GB` : count >= 2 ** 20 ? `${Math.round(count / 2 ** 20)} MB` : `${Math.ceil(count / 1024)} kB`
  const short = (value) => value === 0 ? "0" : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(1).replace("+", "") : String(+value.toPrecision(3))

  async function call(path, options) {
    const answer = await fetch(address(path), options)
    if (answer.status === 401) throw new Error(t("You are signed out; load the page again."))
    const content = await answer.json()
    if (!answer.ok) throw new Error(content.error || (typeof content.detail === "string" && content.detail) || t("The app answered {status}.", { status: answer.status }))
    return content
  }
  const post = (path, body) => call(path, {
    method: "POST", headers: { "x-live": "1", ...(body ? { "content-type": "application/json" } : {}) }, body: body && JSON.stringify(body),
  })

  const KINDS = { done: "good", stopped: "quiet", cancelled: "quiet", paused: "warn", queued: "quiet", failed: "bad", lost: "bad" }
  const WORDS = {
    starting: t("Starting"), loading: t("Loading the model"), caching: t("Preparing the images"), training: t("Training"), sampling: t("Drawing samples"),
    saving: t("Saving"), done: t("Done"), stopped: t("Stopped"), failed: t("Failed"), lost: t("Broken off"), queued: t("Waiting"),
    cancelled: t("Cancelled"), paused: t("Paused"),
  }
  const kind = (state) => KINDS[state] || "going"
  const words = (state) => WORDS[state] || state

  const source = (run, sample) => address(`${of(run)}/samples/${encodeURIComponent(sample.file.split("/").pop())}`)
  function caption({ prompt, step, seed }) {
    return `${prompt || ""} · ${t("step {step}", { step: number(step) })}` + (seed !== null && seed !== undefined ? ` · ${t("seed {seed}", { seed })}` : "")
  }

  // A sample's picture, which opens large.
  function picture(run, sample) {
    const from = source(run, sample), said = caption(sample)
    const image = make("img", { src: from, alt: said, loading: "lazy", onload: () => image.classList.toggle("small", image.naturalWidth < 200) })
    return button(image, () => enlarge(from, said), { class: "picture", title: said })
  }

  function enlarge(from, said) {
    const image = make("img", { src: from, alt: said, onload: () => image.classList.toggle("small", image.naturalWidth < 400) })
    const dialog = make("dialog", { id: "live-picture", onclick: () => dialog.close(), onclose: () => dialog.remove() }, image, make("p", {}, said))
    document.body.append(dialog)
    dialog.showModal()
  }

  // Runs `begin` once for the element of that id, whenever Gradio puts it there.
  function whenThere(id, begin) {
    const look = () => {
      const place = document.getElementById(id)
      if (!place || place.childElementCount) return false
      waiting.disconnect()
      begin(place)
      return true
    }
    const waiting = new MutationObserver(look)
    if (!look()) waiting.observe(document.documentElement, { childList: true, subtree: true })
  }

  // A slider that says how much a curve is smoothed, the same for all curves.
  function smoothing(changed) {
    const remember = (value) => { try { localStorage.setItem("kohya-gui-smoothing", value) } catch { /* private window */ } }
    let kept = null
    try { kept = localStorage.getItem("kohya-gui-smoothing") } catch { /* private window */ }
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: kept ?? 0.5, oninput: () => { remember(slider.value); changed(+slider.value) } })
    changed(+slider.value)
    return make("label", { class: "smoothing" }, t("Smoothing"), slider)
  }

  window.runs = { make, put, button, number, duration, pace, bytes, short, call, post, of, address, kind, words, picture, whenThere, smoothing }
})()
