// What the scripts of all pages build with: elements, what the app answers, and what this browser keeps.
(() => {
  const t = window.t
  // Only the path: behind a proxy the app may not know under which scheme and name it is seen.
  const root = () => new URL(window.gradio_config?.root || "/", location.href).pathname.replace(/\/$/, "")
  const address = (path, query) => `${root()}/live/${path}` + (query ? `?${new URLSearchParams(query)}` : "")

  const is = (child) => child !== null && child !== undefined && child !== false
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value)
      else if (value === true) made.setAttribute(name, "")
      else if (is(value)) made.setAttribute(name, value)
    }
    made.append(...children.filter(is))
    return made
  }
  const put = (place, ...children) => place.replaceChildren(...children.filter(Boolean))
  const button = (words, onclick, attributes = {}, ...children) => make("button", { type: "button", onclick, ...attributes }, words, ...children)
  const number = (value) => value.toLocaleString(window.language)

  // Whatever a page asks, also through Gradio, which says nothing of it: whoever is signed out meanwhile is told.
  const signedOut = () => t("You are signed out; load the page again.")
  const ask = window.fetch
  window.fetch = async (...asked) => {
    const answer = await ask(...asked)
    if (answer.status === 401 && new URL(answer.url).origin === location.origin && !document.getElementById("signed-out")) {
      (document.querySelector(".gradio-container") ?? document.body).append(make("div", { id: "signed-out", role: "alert" }, button(signedOut(), () => location.reload())))
    }
    return answer
  }

  async function call(path, options) {
    const answer = await fetch(address(path), options)
    if (answer.status === 401) throw new Error(signedOut())
    const content = await answer.json().catch(() => ({}))
    if (answer.ok) return content
    const words = content.error || (typeof content.detail === "string" && content.detail) || t("The app answered {status}.", { status: answer.status })
    throw Object.assign(new Error(words), { content, status: answer.status })
  }
  const post = (path, body) => call(path, {
    method: "POST", headers: { "x-live": "1", ...(body ? { "content-type": "application/json" } : {}) }, body: body && JSON.stringify(body),
  })

  // A browser in private mode keeps nothing, which is no reason to stop.
  const recall = (name) => { try { return localStorage.getItem(name) } catch { return null } }
  const remember = (name, value) => { try { value === null ? localStorage.removeItem(name) : localStorage.setItem(name, value) } catch { /* not kept */ } }

  // Puts a text on the clipboard. Where a page is served without TLS a browser has only the old way, which needs a field
  // that can be reached: in a dialog, one that stands there.
  async function copy(text, place = document.body) {
    try { await navigator.clipboard.writeText(text) } catch {
      const field = make("textarea", {}, text)
      place.append(field); field.select(); document.execCommand("copy"); field.remove()
    }
  }
  function copier(said, text, attributes = {}) {
    const pressed = async () => {
      await copy(text(), made.parentElement)
      made.textContent = t("Copied")
      setTimeout(() => { made.textContent = said }, 1500)
    }
    const made = button(said, pressed, attributes)
    return made
  }

  // Answers come in any order: says, when one is there, whether nothing newer of that name was asked since.
  function latest(owner, name) {
    const turn = owner[name] = (owner[name] ?? 0) + 1
    return () => turn === owner[name]
  }

  // Brings an element into sight, at once for those who asked for less motion.
  const bring = (element, block = "start") =>
    element.scrollIntoView({ block, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" })

  // Runs `begin` once for the element of that id, whenever Gradio puts it there.
  function whenThere(id, begin) {
    const look = () => {
      const place = document.getElementById(id)
      if (!place) return false
      waiting.disconnect()
      begin(place)
      return true
    }
    const waiting = new MutationObserver(look)
    if (!look()) waiting.observe(document.documentElement, { childList: true, subtree: true })
  }

  window.kit = { make, put, button, number, address, call, post, recall, remember, copy, copier, latest, bring, whenThere }
})()
