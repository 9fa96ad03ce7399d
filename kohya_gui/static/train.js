// The form of the Train page: search, marks of what was changed, presets, help. The app says what is wrong and what is
// hidden; all that concerns fields that are there already happens here, without asking it.
(() => {
  const $ = (id) => document.getElementById(id)
  const { make, put, recall, remember, copy, bring, whenThere } = window.kit
  const t = window.t

  // What there is: from the page's own configuration, so that closed parts of the form are known too.
  let known
  function settings() {
    if (known) return known
    const place = $("form-data")
    if (!place) return []
    const props = new Map((window.gradio_config?.components ?? []).map(({ props }) => [props.elem_id, props]))
    known = [{ key: "method", section: "", part: "basic", initial: "lora" }]
    for (const { name, title, parts } of JSON.parse(place.dataset.form)) {
      for (const [part, keys] of Object.entries(parts)) {
        for (const [key, initial] of Object.entries(keys)) known.push({ key, name, title, part, initial })
      }
    }
    known.forEach((setting, place) => {
      const { label = setting.key, info = "", type } = props.get(`p-${setting.key}`) ?? {}
      Object.assign(setting, { place, label, secret: type === "password", help: info.replace(/\s*`[^`]*`\s*$/, "") })
    })
    return known
  }
  const setting = (key) => settings().find((one) => one.key === key)
  const keyOf = (element) => element?.closest?.(".field")?.id.slice(2)

  // The fields' values. `gathered` is handed all of them by Gradio, for the app; `put` answers it with those that change.
  let current = [], form = "", checked = null, waiting = null, carried = {}, before = null, printed = "", restored = false, settled = false, answered = null
  // What was typed before the form of the last visit arrived: it stays.
  let typed = new Set()
  const pressed = [] // what waits until it stands in the fields
  // Questions about offers are numbered: an answer counts if nothing was asked or said since.
  let questions = 0
  const filled = (values, extra = {}) => {
    if ("said" in extra) questions++
    waiting = { ...waiting, ...extra, values: { ...waiting?.values, ...values } }
    $("put").click()
  }
  function markCommand() { $("command")?.classList.toggle("outdated", form !== printed) }
  let timer
  function look(wait = 200) {
    clearTimeout(timer)
    timer = setTimeout(() => $("gather")?.click(), wait)
  }
  window.trainForm = {
    gathered(values) {
      current = values
      form = JSON.stringify(values)
      return form
    },
    checkIfChanged() {
      if (restored) {
        restored = false
        settled = true
        document.dispatchEvent(new Event("form-restored"))
        for (const button of pressed.splice(0)) button.click()
      }
      if (form === checked) return
      checked = form
      $("check").click()
      if (offer()) ask({ ...carried, keep: $("offer-keep")?.checked })
      markCommand()
      $("start-said")?.classList.toggle("outdated", form !== answered)
    },
    put(baseline) {
      const { values = {}, baseline: next, said, undo, last = false } = waiting ?? {}
      waiting = null
      const { own, name } = next ?? baseline ?? {}
      const answer = Array(settings().length).fill(undefined)
      const old = {}
      for (const [key, value] of Object.entries(values)) {
        const found = setting(key)
        if (!found) continue
        old[key] = current[found.place]
        answer[found.place] = value
      }
      current = current.map((value, place) => answer[place] ?? value)
      if (undo) before = { values: old, baseline }
      restored ||= last
      if (next) checked = null
      const choice = said === undefined ? undefined : own ? null : name || null
      return [choice, said, next, ...answer]
    },
    look,
    restore(text) {
      const { values = {}, baseline, said } = JSON.parse(text || "{}") // "": the app could not say it
      const untouched = Object.entries(values).filter(([key]) => !typed?.has(key))
      typed = null
      filled(Object.fromEntries(untouched), { baseline, said: said ?? undefined, last: true })
    },
    // The words on a start stay until the form says something else than when they came.
    started(run) {
      answered = form
      $("start-said").classList.remove("outdated")
      $("start").removeAttribute("aria-busy")
      if (run) window.live.show(run)
    },
    // asked: the form that the command is of, which may be an older one by now.
    printed(asked) {
      printed = asked
      whenThere("command", markCommand)
    },
    choose: (name) => ask({ preset: name }),
    asked: () => JSON.stringify({ ...carried, number: ++questions }),
    offered(answer) {
      const { number, said } = JSON.parse(answer)
      if (number === questions && (said || offer())) filled({}, { said })
    },
    withoutOffer(said) {
      questions++
      return offer() ? "" : said
    },
    download(file) {
      const { name, text } = JSON.parse(file)
      const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: name })
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 1000)
    },
    runAsked() {
      const address = new URL(location.href), run = address.searchParams.get("run")
      address.searchParams.delete("run")
      if (run) history.replaceState(null, "", address)
      return run ?? ""
    },
    value: (key) => waiting?.values?.[key] ?? current[setting(key).place] ?? setting(key).initial,
    set: filled, setting, settings, goTo, facts: () => facts,
  }
  for (const kind of ["input", "change", "click", "keyup", "focusout", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.target.closest?.("#form-column .field")) return
      if (kind === "input" || kind === "change" || event.target.closest("[role=option]")) typed?.add(keyOf(event.target))
      look()
    }, true)
  }
  document.addEventListener("place-allowed", () => { checked = null; look(0) })
  const undoButton = () => `<div class="buttons"><button type="button" class="offer-undo">${t("Undo")}</button></div>`

  const offer = () => document.querySelector(".offer")
  function ask(about) {
    carried = about
    $("ask-offer").click()
  }
  function apply() {
    const { name, keep, baseline } = offer().dataset
    const values = JSON.parse(offer().querySelector(`.variant[data-keep="${keep}"]`).dataset.values)
    const words = make("span", {}, t("{name} is in the form.", { name }))
    const said = `<section class="notes" role="status"><ul><li class="quiet">${words.outerHTML}</li></ul>${undoButton()}</section>`
    filled(values, { baseline: JSON.parse(baseline), said, undo: true })
  }
  function undo(button) {
    const { values, baseline } = button.dataset.values
      ? { values: JSON.parse(button.dataset.values), baseline: JSON.parse(button.dataset.baseline) } : before ?? {}
    if (values) filled(values, { baseline, said: "" })
    before = null
  }
  function cancel() { filled({}, { said: "" }) }

  // Files stay in the browser: of a trained one only the header is read, of which the app gets the metadata.
  async function open(file) {
    const metadata = file.name.toLowerCase().endsWith(".safetensors")
    let content
    try {
      content = metadata ? { metadata: await header(file) } : { text: await file.slice(0, 2 << 20).text() }
    } catch {
      content = { text: "" }
    }
    ask({ name: file.name, ...content })
  }
  async function header(file) {
    const size = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true))
    const tags = JSON.parse(await file.slice(8, 8 + Math.min(size, 50 << 20)).text()).__metadata__ ?? {}
    const known = Object.entries(tags).filter(([key, value]) => key.startsWith("ss_") && value.length < 200_000)
    return Object.fromEntries(known.filter(([key]) => key !== "ss_tag_frequency" && key !== "ss_bucket_info"))
  }

  // Facts of the app about the form: which fields differ from the preset, and what they were.
  let facts = { changed: {}, hidden: [], runs: 1, wrong: 0 }
  function learn() {
    const place = $("form-facts")
    if (!place) return
    facts = JSON.parse(place.dataset.facts)
    const count = Object.keys(facts.changed).length
    $("changed-count").textContent = count
    $("form-bar").classList.toggle("none-changed", !count)
    $("reset-all").hidden = $("toggle-changed").disabled = !count
    if (!count) toggle("only-changed", false)
    const start = $("start")
    if (start) start.textContent = facts.runs > 1 ? t("Start {count} runs", { count: facts.runs }) : t("Start")
    document.dispatchEvent(new Event("form-facts"))
  }
  whenThere("form-style", (place) => { new MutationObserver(learn).observe(place, { childList: true, subtree: true, attributes: true }); whenThere("form-bar", learn) })

  // What it does when it is pressed stands in `clicks`.
  const tool = (kind, words, attributes) => make("button", { type: "button", class: kind, ...attributes }, words)
  // Each field that is drawn gets its tools: reset, key, help.
  function equip(field) {
    if (field.querySelector(":scope > .tools") || field.id.startsWith("t-")) return
    const key = field.id.slice(2), about = setting(key)
    if (!about) return
    const name = about.label
    // Gradio's own label holds the help as well, which would be read aloud as the field's name.
    const input = field.querySelector("label input, label textarea"), info = field.querySelector(".info-text")
    if (input && info && key !== "method") {
      input.setAttribute("aria-label", name)
      input.setAttribute("aria-describedby", info.id = `help-${key}`)
    }
    field.append(make("span", { class: "tools" },
      tool("reset", "↺", { title: t("Back to the preset's value"), "aria-label": t("Reset {name}", { name }) }),
      tool("key", key, { title: t("Copy the key") }),
      tool("ask", "?", { title: t("Help"), "aria-label": t("Help about {name}", { name }), "aria-expanded": "false" })))
  }
  const drawn = new MutationObserver(() => document.querySelectorAll("#form-column .field:not(:has(> .tools))").forEach(equip))
  whenThere("form-column", (column) => { drawn.observe(column, { childList: true, subtree: true }); column.querySelectorAll(".field").forEach(equip) })

  const reset = (key) => key in facts.changed && filled({ [key]: facts.changed[key] })

  // The line at the foot of the form says what the field in use is for.
  function explain(element) {
    const about = setting(keyOf(element)), line = $("help-line")
    if (!about || !line || line.dataset.key === about.key) return
    line.dataset.key = about.key
    const named = { "": t("not set"), True: t("on"), False: t("off") }
    const initial = about.secret ? "" : named[about.initial] ?? about.initial
    put(line, make("b", {}, about.label), tool("key", about.key, { title: t("Copy the key") }),
      make("span", {}, about.help), make("small", {}, initial && t("Default: {value}", { value: initial })))
  }

  async function copyKey(button) {
    await copy(button.textContent)
    button.classList.add("copied")
    setTimeout(() => button.classList.remove("copied"), 1200)
  }

  // Going to a field opens the part that it stands in.
  const element = (key) => $(`p-${key}`)
  const seen = (key) => element(key)?.offsetParent ?? null
  function goTo(key) {
    const about = setting(key)
    if (!about) return
    if (!(key in facts.changed)) toggle("only-changed", false)
    if (!seen(key) && about.part !== "basic") {
      const button = document.querySelector(`#${about.part}-${about.name} > button`)
      if (!button?.classList.contains("open")) button?.click()
    }
    let tries = 40
    const reach = () => {
      if (!seen(key)) return tries-- && setTimeout(reach, 50)
      const found = element(key), input = found.querySelector("input:checked, input, textarea, select")
      bring(found, "center")
      input?.focus({ preventScroll: true })
      found.classList.add("found")
      setTimeout(() => found.classList.remove("found"), 1800)
    }
    reach()
  }

  // Search: every word must be in label, key or help; label and key weigh more.
  const plain = (text) => text.toLowerCase().replaceAll("_", " ").replaceAll("-", " ")
  function search(text) {
    const words = plain(text).split(/\s+/).filter(Boolean)
    if (!words.length) return []
    const scored = settings().map((one) => ({ one, score: score(one, words) })).filter(({ score }) => score > 0)
    const rank = ({ one, score }) => score + (one.part === "basic" ? 5 : 0) - (facts.hidden.includes(one.key) ? 30 : 0)
    return scored.sort((a, b) => rank(b) - rank(a) || a.one.place - b.one.place).slice(0, 30).map(({ one }) => one)
  }
  function score({ label, key, help }, words) {
    const names = [...plain(label).split(" "), ...plain(key).split(" ")], told = plain(help)
    let sum = 0
    for (const word of words) {
      if (names.includes(word)) sum += 20
      else if (names.some((name) => name.startsWith(word))) sum += 14
      else if (names.some((name) => name.includes(word))) sum += 10
      else if (told.includes(word)) sum += 2
      else return 0
    }
    return sum + ([plain(label), plain(key)].some((name) => name.includes(words.join(" "))) ? 10 : 0)
  }
  function marked(text, words) {
    const pattern = words.filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")
    return text.split(new RegExp(`(${pattern || "$^"})`, "i")).map((piece, place) => place % 2 ? make("mark", {}, piece) : piece)
  }
  function excerpt(help, words) {
    const at = Math.max(0, Math.min(...words.map((word) => help.toLowerCase().indexOf(word)).filter((place) => place >= 0)) - 40)
    return Number.isFinite(at) && at > 0 ? `… ${help.slice(at, at + 140)}` : help.slice(0, 140)
  }
  // As it stands on the page, where it is in the visitor's language.
  const titleOf = ({ name, title = "" }) => $(`g-${name}`)?.querySelector("h2, .label-wrap > span")?.textContent.replace(/\s*[(（]\d+[)）]$/, "") ?? title
  function list(text) {
    const box = $("search"), results = $("search-results"), words = text.toLowerCase().split(/\s+/).filter(Boolean)
    const found = search(text)
    box.setAttribute("aria-expanded", String(Boolean(text.trim())))
    results.hidden = !text.trim()
    put(results, ...found.map((one, place) => {
      const hidden = facts.hidden.includes(one.key)
      return make("li", { id: `found-${place}`, role: "option", class: hidden ? "idle" : null, "data-key": one.key },
        make("b", {}, ...marked(one.label, words)), make("code", {}, ...marked(one.key, words)),
        make("small", {}, hidden ? t("no effect on what is chosen") : titleOf(one)), make("p", {}, ...marked(excerpt(one.help, words), words)))
    }))
    if (!found.length && text.trim()) put(results, make("li", { class: "nothing" }, t("No setting has these words.")))
    choose(0)
  }
  let at = 0
  function choose(place) {
    const rows = [...document.querySelectorAll("#search-results [role=option]")]
    at = rows.length ? (place + rows.length) % rows.length : 0
    rows.forEach((row, number) => row.setAttribute("aria-selected", String(number === at)))
    $("search").setAttribute("aria-activedescendant", rows[at]?.id ?? "")
    rows[at]?.scrollIntoView({ block: "nearest" })
  }
  function close() { $("search-results").hidden = true; $("search").setAttribute("aria-expanded", "false") }
  function take(row) {
    if (!row?.dataset.key) return
    close()
    if (facts.hidden.includes(row.dataset.key)) return
    $("search").value = ""
    $("search").blur()
    goTo(row.dataset.key)
  }

  function toggle(name, on) {
    document.body.classList.toggle(name, on)
    const button = $(name === "only-changed" ? "toggle-changed" : "toggle-help")
    button?.setAttribute("aria-pressed", String(on))
    if (name === "only-changed" && on) openChanged()
  }
  function openChanged() {
    for (const key of Object.keys(facts.changed)) {
      const about = setting(key)
      const button = about && about.part !== "basic" && document.querySelector(`#${about.part}-${about.name} > button:not(.open)`)
      if (button && !facts.hidden.includes(key)) button.click()
    }
  }
  const HELP = "kohya-gui-help"
  whenThere("form-bar", () => toggle("show-help", recall(HELP) === "1"))

  const clicks = {
    "#offer-apply": apply,
    "#offer-cancel": cancel,
    ".offer-undo": undo,
    "#open-preset": () => $("open-preset-file").click(),
    "#toggle-changed": () => toggle("only-changed", !document.body.classList.contains("only-changed")),
    "#toggle-help": () => {
      const on = !document.body.classList.contains("show-help")
      toggle("show-help", on)
      remember(HELP, on ? "1" : "0")
    },
    "#reset-all": () => filled(facts.changed),
    ".tools .reset": (button) => reset(keyOf(button)),
    "button.key": copyKey,
    ".tools .ask": (button) => button.setAttribute("aria-expanded", String(button.closest(".field").classList.toggle("helped"))),
    "a[data-key]": (link) => goTo(link.dataset.key),
    "#search-results li": take,
  }
  document.addEventListener("click", (event) => {
    const found = event.target.closest?.("#start, #print-command")
    if (!found) return
    if (found.id === "start") found.setAttribute("aria-busy", "true")
    if (settled) return
    event.stopImmediatePropagation()
    if (!pressed.includes(found)) pressed.push(found)
  }, true)
  document.addEventListener("click", (event) => {
    for (const [selector, act] of Object.entries(clicks)) {
      const found = event.target.closest?.(selector)
      if (found) { event.preventDefault(); return act(found) }
    }
    if (!event.target.closest?.("#form-bar")) $("search-results") && close()
  })
  document.addEventListener("input", (event) => { if (event.target.id === "search") list(event.target.value) })
  document.addEventListener("change", (event) => {
    const { target } = event
    if (target.id === "offer-keep") target.closest(".offer").dataset.keep = target.checked ? "1" : "0"
    if (target.id === "open-preset-file" && target.files[0]) { open(target.files[0]); target.value = "" }
  })
  document.addEventListener("focusin", (event) => {
    explain(event.target)
    if (event.target.id === "search" && event.target.value) list(event.target.value)
  })
  document.addEventListener("mouseover", (event) => { if (!document.activeElement?.closest?.(".field")) explain(event.target) })
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]")
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && $("search")) { event.preventDefault(); return $("search").select() }
    if (event.target.id !== "search") return
    const moves = { ArrowDown: 1, ArrowUp: -1 }
    if (event.key in moves) { event.preventDefault(); choose(at + moves[event.key]) }
    else if (event.key === "Enter") { event.preventDefault(); take(document.querySelectorAll("#search-results [role=option]")[at]) }
    else if (event.key === "Escape") { close(); event.target.value = ""; event.target.blur() }
  })
})()
