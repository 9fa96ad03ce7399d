// What the live view, the list of runs and their comparison have in common: words and figures of a run, its pictures.
(() => {
  const { make, button, number, address, recall, remember } = window.kit
  const t = window.t
  const of = (run) => `runs/${encodeURIComponent(run)}`

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

  const SMOOTHING = "kohya-gui-smoothing"
  // A slider that says how much a curve is smoothed, the same for all curves.
  function smoothing(changed) {
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: recall(SMOOTHING) ?? 0.5, oninput: () => { remember(SMOOTHING, slider.value); changed(+slider.value) } })
    changed(+slider.value)
    return make("label", { class: "smoothing" }, t("Smoothing"), slider)
  }

  window.runs = { duration, pace, bytes, short, of, kind, words, picture, smoothing }
})()
