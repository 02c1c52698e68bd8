// Which files did not arrive, and why. It runs once a page.
window.fcnUndelivered ||= (() => {
  const app = document.querySelector("[data-testid=stApp]")
  const reasons = new Map()  // what the server said, by the name of the file; "" if it did not say
  const FAILED = "[data-testid=stFileChip][aria-invalid=true]"
  const remove = (chip) => chip.querySelector("[data-testid=stFileChipDeleteBtn] button").click()

  const send = XMLHttpRequest.prototype.send
  XMLHttpRequest.prototype.send = function (body) {
    const file = body instanceof FormData && [...body.values()].find((each) => each instanceof File)
    if (file) {
      reasons.set(file.name, "")
      this.addEventListener("loadend", () => {
        if (this.status >= 400 && this.getResponseHeader("X-Refused")) reasons.set(file.name, this.responseText)
        tell()
      })
      for (const input of app.querySelectorAll("input[type=file]:not([multiple])"))
        input.closest(".stFileUploader")?.querySelectorAll(FAILED).forEach(remove)
    }
    return send.call(this, body)
  }

  // Who chooses a sample instead has read it.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.(".st-key-pictures [role=radio]")) app.querySelectorAll(FAILED).forEach(remove)
  }, true)

  const write = (element, text) => { if (element.textContent !== text) element.textContent = text }
  const tell = () => {
    const chips = [...app.querySelectorAll(FAILED + " [data-testid=stFileChipName]")]
    const names = [...new Set(chips.map((chip) => chip.title))]
    const said = new Set(names.map((name) => reasons.get(name) || ""))
    for (const box of app.querySelectorAll(".fcn-undelivered")) {
      const [which, why] = box.children
      why.dataset.usual ||= why.textContent
      write(which, names.length ? names.join(", ") + ":" : "")
      write(why, said.size === 1 && [...said][0] || why.dataset.usual)
    }
  }
  const observer = new MutationObserver(tell)
  observer.observe(app, { childList: true, subtree: true, attributeFilter: ["aria-invalid"] })
  return observer
})()
