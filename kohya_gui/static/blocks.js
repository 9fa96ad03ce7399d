// The U-Net's blocks (25 of Stable Diffusion, 23 of SDXL) as a picture: the way down on the left, the middle at the bottom, the way up on the right. What
// is typed or slid goes as text into the fields beside it, and what is typed there is drawn here.
(() => {
  const { make, button, put } = window.kit
  const t = window.t
  const RATES = ["down_lr_weight", "mid_lr_weight", "up_lr_weight"]
  const CURVES = ["sine", "cosine", "linear", "reverse_linear", "zeros"]
  const MODES = [
    { name: "rates", title: t("Learning rates"), keys: RATES, usual: () => 1, step: 0.05, top: () => 1 },
    { name: "dims", title: t("Ranks"), keys: ["block_dims"], usual: (texts) => +texts.network_dim || 4, step: 1 },
    { name: "alphas", title: t("Alphas"), keys: ["block_alphas"], usual: (texts) => +texts.network_alpha || 1, step: 0.5 },
    { name: "conv_dims", title: t("Convolution ranks"), keys: ["conv_block_dims"], usual: (texts) => +texts.conv_dim || 0, step: 1 },
    { name: "conv_alphas", title: t("Convolution alphas"), keys: ["conv_block_alphas"], usual: (texts) => +texts.conv_alpha || 1, step: 0.5 },
  ]
  const TEXTS = [...MODES.flatMap(({ keys }) => keys), "block_lr_zero_threshold", "network_dim", "network_alpha", "conv_dim", "conv_alpha"]
  const two = (number) => String(number).padStart(2, "0")

  // What each block is. `way`: the part of the picture, and which of its rates is the block's.
  function blocksOf({ down, mid, up, before, after }) {
    const deep = Math.floor((down - 1) / 3), withAttention = down === 12 ? [0, 1, 2] : [1, 2]
    const about = (level, change, attends) => {
      const size = `1/${8 << level}`
      return { attends, about: change ? t(change, { size }) : attends ? t("{size}, attention", { size }) : size }
    }
    const each = (count, tell) => [...Array(count).keys()].map(tell)
    return [
      ...each(before, () => ({ name: "EMB", way: "down", about: t("embeddings") })),
      ...each(down, (n) => {
        if (!n) return { name: "IN00", way: "down", about: t("first convolution") }
        const level = Math.floor((n - 1) / 3)
        return { name: `IN${two(n)}`, way: "down", ...about(level, n % 3 ? "" : t("{size}, shrinks"), n % 3 > 0 && withAttention.includes(level)) }
      }),
      ...each(mid, (n) => ({ name: mid > 1 ? `MID${two(n)}` : "MID", way: "mid", ...about(deep, "", mid === 1 || n === 1) })),
      ...each(up, (n) => {
        const level = deep - Math.floor(n / 3), grows = n % 3 === 2 && n < up - 1, attends = withAttention.includes(level)
        return { name: `OUT${two(n)}`, way: "up", ...about(level, grows && !attends ? t("{size}, grows") : "", attends) }
      }),
      ...each(after, () => ({ name: "LAST", way: "up", about: t("last convolution") })),
    ]
  }

  function curve(text, count) {
    const [name, base = "0"] = text.replaceAll(" ", "").split("+")
    if (!CURVES.includes(name) || !Number.isFinite(+base)) return null
    const steps = [...Array(count).keys()].map((i) => count > 1 ? i / (count - 1) : 1)
    const shape = {
      sine: (s) => Math.sin(Math.PI / 2 * s), cosine: (s) => Math.sin(Math.PI / 2 * (1 - s)), linear: (s) => s, reverse_linear: (s) => 1 - s, zeros: () => 0,
    }[name]
    return steps.map((step) => shape(step) + +base)
  }
  function values(text, count, usual) {
    const given = (text ?? "").trim()
    if (!given) return Array(count).fill(usual)
    const numbers = curve(given, count) ?? given.split(/[\s,]+/).map(Number)
    return numbers.length === count && numbers.every(Number.isFinite) ? numbers : null
  }
  const short = (number) => String(+number.toFixed(3))

  class Picture {
    constructor(place) {
      this.place = place
      this.mode = MODES[0]
      this.tabs = make("div", { class: "tabs", role: "group", "aria-label": t("What the picture sets") }, ...MODES.map((mode) =>
        button(mode.title, () => { this.mode = mode; this.draw() }, { "data-mode": mode.name })))
      this.ways = [this.controls("down_lr_weight", t("Down")), this.controls("up_lr_weight", t("Up"))]
      const clear = button(t("Clear"), () => this.write(Object.fromEntries(this.mode.keys.map((key) => [key, ""]))))
      this.curves = make("div", { class: "curves" }, ...this.ways.map(({ element }) => element), clear)
      this.said = make("p", { class: "said", role: "status" })
      this.unet = make("div", { class: "unet", role: "group", "aria-label": t("Blocks of the U-Net") })
      put(place, this.tabs, this.curves, this.said, this.unet)
      this.draw()
    }

    // The rows of the chosen family's U-Net, made anew when that changes.
    build() {
      const shape = window.trainForm.facts().unet, { down, mid, up, before, after } = shape
      const wanted = JSON.stringify(shape)
      if (this.built === wanted) return
      this.built = wanted
      this.total = before + down + mid + up + after
      this.parts = [[before, down], [before + down, mid], [before + down + mid, up]].map(([from, count], at) => ({ key: RATES[at], from, count }))
      const kinds = blocksOf(shape)
      this.rows = kinds.map((kind, block) => this.row(kind, block))
      const column = (way) => kinds.map((kind, block) => kind.way === way && this.rows[block].element).filter(Boolean)
      put(this.unet, make("div", { class: "down" }, ...column("down")), make("div", { class: "up" }, ...column("up").reverse()), make("div", { class: "mid" }, ...column("mid")))
    }

    row({ name, about, attends }, block) {
      const what = `${name}, ${about}`
      const slide = make("input", { type: "range", min: 0, "aria-label": what, oninput: () => { box.value = slide.value; this.paint(block, +slide.value) }, onchange: () => this.set(block, +slide.value) })
      const box = make("input", { type: "text", inputmode: "decimal", "aria-label": what, onchange: () => this.set(block, +box.value.replace(",", ".")) })
      const element = make("div", { class: attends ? "block-row attends" : "block-row" }, make("b", {}, name), make("small", {}, about), slide, box)
      return { element, slide, box }
    }

    get texts() { return Object.fromEntries(TEXTS.map((key) => [key, window.trainForm.value(key)])) }

    shown() {
      const { texts, mode } = this, usual = mode.usual(texts)
      const spans = mode.name === "rates" ? this.parts : [{ key: mode.keys[0], from: 0, count: this.total }]
      return spans.map(({ key, from, count }) => ({ from, count, values: values(texts[key], count, usual) }))
    }

    paint(block, value) {
      const top = +this.rows[block].slide.max
      this.rows[block].element.style.setProperty("--share", `${Math.min(100, 100 * value / top)}%`)
      const least = this.mode.name === "rates" ? +this.texts.block_lr_zero_threshold || 0 : 0
      this.rows[block].element.classList.toggle("out", value <= least)
    }

    draw() {
      const { texts, mode } = this, hidden = window.trainForm.facts().hidden
      for (const button of this.tabs.children) {
        const { keys } = MODES.find(({ name }) => name === button.dataset.mode)
        button.hidden = keys.every((key) => hidden.includes(key))
        button.setAttribute("aria-pressed", String(button.dataset.mode === mode.name))
      }
      this.build()
      const spans = this.shown(), usual = mode.usual(texts), flat = Array(this.total).fill(null)
      for (const { from, count, values } of spans) flat.splice(from, count, ...values ?? Array(count).fill(usual))
      const top = mode.top ? Math.max(mode.top(), ...flat) : Math.max(8, 2 * usual, ...flat)
      this.rows.forEach(({ slide, box, element }, block) => {
        element.hidden = flat[block] === null
        if (element.hidden) return
        if (document.activeElement === slide) return
        Object.assign(slide, { max: top, step: mode.step, value: flat[block] })
        if (document.activeElement !== box) box.value = short(flat[block])
        this.paint(block, flat[block])
        element.classList.toggle("usual", mode.keys.every((key) => !texts[key]))
      })
      this.said.textContent = spans.some(({ values }) => !values) ? t("The text below is not right, so the usual values are drawn.") : t("A block with 0 is left out. 1/8 to 1/64: how large what it works on is, beside the picture.")
      this.drawCurves()
    }

    // One row of controls for each way, kept while they are used.
    controls(key, title) {
      const names = CURVES.map((name) => make("option", { value: name }, name))
      const select = make("select", { "aria-label": t("Curve of the blocks") }, make("option", { value: "" }, t("numbers")), ...names)
      const plus = make("input", { type: "text", inputmode: "decimal", placeholder: "+ 0", "aria-label": t("Added to the curve") })
      select.onchange = plus.onchange = () => this.write({ [key]: select.value && +plus.value ? `${select.value}+${plus.value}` : select.value })
      return { key, select, plus, element: make("label", {}, title, select, plus) }
    }

    drawCurves() {
      for (const { key, select, plus, element } of this.ways) {
        element.hidden = this.mode.name !== "rates"
        if (document.activeElement === plus) continue
        const [name, base = ""] = (this.texts[key] ?? "").replaceAll(" ", "").split("+")
        select.value = CURVES.includes(name) ? name : ""
        Object.assign(plus, { value: select.value ? base : "", disabled: !select.value })
      }
    }

    set(block, value) {
      if (!Number.isFinite(value) || value < 0) return this.draw()
      const usual = this.mode.usual(this.texts)
      const rates = this.mode.name === "rates"
      const { key, from, count } = rates ? this.parts.find(({ from, count }) => block >= from && block < from + count) : { key: this.mode.keys[0], from: 0, count: this.total }
      const numbers = [...values(this.texts[key], count, usual) ?? Array(count).fill(usual)]
      numbers[block - from] = value
      this.write({ [key]: numbers.every((number) => number === usual) ? "" : numbers.map(short).join(", ") })
    }

    write(texts) {
      window.trainForm.set(texts)
      this.draw()
    }
  }

  let picture = null
  function refresh() {
    const place = document.getElementById("blocks")
    if (!place || !window.trainForm?.facts().unet) return
    if (picture?.place === place && place.firstChild) picture.draw()
    else picture = new Picture(place)
  }
  document.addEventListener("form-facts", refresh)
  new MutationObserver(() => { const place = document.getElementById("blocks"); if (place && !place.firstChild) refresh() })
    .observe(document.documentElement, { childList: true, subtree: true })
})()
