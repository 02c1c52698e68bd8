// For the keyboard and for screen readers: what Streamlit's own markup leaves undone. It runs once a page.
window.fcnAssist ||= (() => {
  const app = document.querySelector("[data-testid=stApp]")
  const resting = () => app.getAttribute("data-test-script-state") === "notRunning"
  const FOCUSABLE = "a[href], button, input, select, textarea, [tabindex]"
  const seen = (element) => element.isConnected && !element.disabled && element.checkVisibility({ visibilityProperty: true })
  const holds = (element) => seen(element) && element.matches(FOCUSABLE)
  const name = (element) => element.getAttribute("aria-label") || element.innerText
  const within = (box) => [...box.querySelectorAll(FOCUSABLE)].filter(seen)

  // A rerun may replace, remove, disable or hide what has the focus: then the browser lets it fall to the body.
  // It goes to what has the same key and name, else to what is nearest in the same box with a key, else to the page.
  // A key may end in a serial number, which is another after the widget was made anew. What is disabled for a moment
  // only, as tabs are while a run draws them anew, gets it back itself. The button that opens the menu of a phone gives
  // way to the one that closes it, and the other way round: both control the same.
  let last = null
  const remember = (element) => {
    const boxes = []
    for (let at = element; at && at !== app; at = at.parentElement)
      for (const key of at.classList) if (key.startsWith("st-key-")) boxes.push([key, within(at).indexOf(element)])
    last = { element, boxes, name: name(element) }
  }
  const boxOf = (key) => app.querySelector("." + CSS.escape(key)) ||
    (/-\d+$/.test(key) && app.querySelector(`[class*="${key.replace(/\d+$/, "")}"]`))
  const successor = () => {
    for (const [key, place] of last.boxes) {
      const box = boxOf(key), all = box ? within(box) : []
      const same = all.find((each) => name(each) === last.name)
      if (same) return same
      if (!resting()) return null  // it may come yet
      const near = [...all.slice(0, place + 1).reverse(), ...all.slice(place + 1)].find((each) => each.tabIndex >= 0)
      if (near) return near
    }
    const controls = last.element.getAttribute("aria-controls")
    const twin = controls && [...app.querySelectorAll(`[aria-controls="${CSS.escape(controls)}"]`)].find(seen)
    return twin || document.getElementById("stMain")
  }
  const mend = () => {
    if (!last || document.activeElement !== document.body || (seen(last.element) && !last.lost)) return
    const found = holds(last.element) ? last.element : successor()
    if (!found) return
    if (found.id === "stMain") found.tabIndex = -1
    found.focus({ preventScroll: true })
  }
  document.addEventListener("focusin", (event) => { if (app.contains(event.target)) remember(event.target) })
  document.addEventListener("focusout", (event) => { if (last && !holds(event.target)) last.lost = true })
  document.addEventListener("pointerdown", () => { last = null }, true)

  // A live region must be there before its text: one for all texts in "data-announce".
  const voice = document.body.appendChild(document.createElement("div"))
  voice.className = "fcn-hidden fcn-voice"
  voice.setAttribute("role", "status")
  const announce = () => {
    const text = [...app.querySelectorAll("[data-announce]")].map((each) => each.dataset.announce).join(" ")
    if (resting() && voice.textContent !== text) voice.textContent = text
  }

  // A slider has its label itself and once more from the group around it, so that it is read twice.
  const nameOnce = () => {
    for (const input of app.querySelectorAll("input[type=range][aria-label][aria-labelledby]"))
      input.removeAttribute("aria-labelledby")
    for (const group of app.querySelectorAll(".stSlider [role=group][aria-label]"))
      if (group.querySelectorAll("input").length === 1) group.setAttribute("role", "presentation")
    // What has a name is no mere presentation.
    for (const zone of app.querySelectorAll("[data-testid=stFileUploaderDropzone][role=presentation][aria-label]"))
      zone.setAttribute("role", "group")
  }

  // The uploader's button has one name before a file is given and another after it, and the field behind it a third.
  const upload = () => {
    const own = app.querySelector(".st-key-own-photo section")
    if (!own) return
    own.querySelector("input[type=file]").setAttribute("aria-hidden", "true")
    for (const button of own.querySelectorAll("button"))
      if (!button.closest("[data-testid=stFileChip]")) button.setAttribute("aria-label", own.getAttribute("aria-label"))
  }

  // Which of several buttons leads to where one is.
  const current = () => {
    for (const mark of app.querySelectorAll("[data-current]")) {
      for (const button of app.querySelectorAll("button[aria-current]")) button.removeAttribute("aria-current")
      for (const button of app.querySelectorAll(`.st-key-${mark.dataset.current} button`))
        button.setAttribute("aria-current", "page")
    }
  }

  // Screen readers pronounce a page in its language. The names of the pages above it are in English on all of them.
  const language = () => {
    const code = app.querySelector("[data-lang]")?.dataset.lang || "en"
    if (document.documentElement.lang !== code) document.documentElement.lang = code
    for (const header of document.querySelectorAll("[data-testid=stHeader]:not([lang])")) header.lang = "en"
  }

  // What scrolls sideways must be reachable with the keyboard.
  const reachable = () => {
    for (const box of app.querySelectorAll(".fcn-scroll, [class*=st-key-formula]")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0
      else box.removeAttribute("tabindex")
    }
  }

  const tend = () => {
    asked = 0; mend(); announce(); nameOnce(); upload(); current(); language(); reachable()
  }
  let asked = setTimeout(tend, 50)  // the page may be complete already
  const observer = new MutationObserver(() => { asked ||= setTimeout(tend, 50) })
  observer.observe(app, { childList: true, subtree: true, characterData: true,
    attributeFilter: ["data-test-script-state", "disabled", "aria-disabled"] })
  addEventListener("resize", reachable)
  return observer
})()
