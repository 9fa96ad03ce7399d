document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault()
  const place = document.getElementById("said"), form = event.target
  place.textContent = ""
  try {
    const answer = await fetch("./login", { method: "POST", body: new FormData(form) })
    if (answer.ok) return location.reload()
    place.textContent = answer.status === 400 ? said[400] : (await answer.json()).detail
  } catch { place.textContent = said[0] }
  form.password.value = ""
  form.password.focus()
})
