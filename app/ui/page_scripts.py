"""JavaScript that runs in the page; the Content-Security-Policy allows only these scripts, by their digests."""

from __future__ import annotations

from pathlib import Path

# The uploader accepts every file, because the content decides what a file is, not its name. The browser's file dialog
# is told to list pictures first; a filter by extension would hide pictures whose extension the system does not know.
PICTURES_FIRST = """
window.fcnPicturesFirst ||= document.addEventListener("click", () => document.querySelectorAll(
  "[class*=st-key-upload] input[type=file]").forEach((input) => {
    input.accept = "image/*,.heic,.heif,.avif,.jfif,.mpo"; }), true) || true;
"""

# A picture that is dropped anywhere on the page, or pasted, is given to the uploader.
DROP_AND_PASTE = """
window.fcnDropAndPaste ||= (() => {
  const give = (event, files) => {
    const input = document.querySelector("[class*=st-key-upload] input[type=file]")
    const some = [...(files || [])].filter((each) => each.type.startsWith("image/") || event.type === "drop")
    if (!input || !some.length || event.target.closest?.("[data-testid=stFileUploaderDropzone]")) return
    event.preventDefault()
    const transfer = new DataTransfer()
    for (const file of input.multiple ? some : some.slice(0, 1)) transfer.items.add(file)
    input.files = transfer.files
    input.dispatchEvent(new Event("change", { bubbles: true }))
  }
  document.addEventListener("paste", (event) => give(event, event.clipboardData?.files))
  document.addEventListener("drop", (event) => give(event, event.dataTransfer?.files))
  document.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault() })
  return true
})()
"""

# What became of files that did not arrive. Streamlit tells the user a status, and keeps each failed file in its list:
# here the message names them and says what the server said, and a field for one file forgets the failed ones before.
UNDELIVERED = Path(__file__).with_name("undelivered.js").read_text(encoding="utf-8")

# Streamlit keeps the scroll position when the page changes. Who pressed a button of the old content goes on at the top.
SCROLL_TO_TOP = """
((main) => {
  main.scrollTo(0, 0)
  main.tabIndex = -1
  const at = document.activeElement
  if (at === document.body || main.contains(at)) main.focus({ preventScroll: true })
})(document.getElementById("stMain"));
"""

# A restarted server does not know the page: the page keeps its content, but its fragments no longer refresh.
# So the browser reruns the whole page whenever it has reconnected.
RERUN_ON_RECONNECT = """
window.fcnAskAgain ||= (() => {
  const app = document.querySelector("[data-testid=stApp]"), state = "data-test-connection-state"
  const observer = new MutationObserver(() => {
    if (app.getAttribute(state) === "CONNECTED") document.querySelector(".st-key-ask-again button")?.click()
  })
  if (app) observer.observe(app, { attributeFilter: [state] })
  return observer
})()
"""

# Streamlit adds an entry to the browser's history whenever the address changes, also when no user caused it: a page
# just entered writes its choices, or a new picture asks for something else. Such a change belongs to the entry before.
ENTRY_PER_GESTURE = """
window.fcnEntries ||= (() => {
  const push = history.pushState
  let gesture = false
  for (const kind of ["pointerdown", "keydown", "change", "drop", "paste"])
    window.addEventListener(kind, () => { gesture = true }, true)
  window.addEventListener("popstate", () => { gesture = false })
  history.pushState = (...entry) => {
    (gesture ? push : history.replaceState).apply(history, entry)
    gesture = false
  }
  return true
})()
"""

# The field for a word shows the chosen one. What is typed replaces it: it is selected when the field is entered, after
# Enter, and before a letter is added to a word that the page has written. While the user edits, nothing is selected.
SELECT_WORD = """
window.fcnSelectWord ||= (() => {
  const own = new WeakMap(), edited = new WeakSet(), clicked = new WeakSet()
  const on = (event, act) => document.addEventListener(event, (e) => {
    if (e.target.type === "search" && e.target.closest("[class*=-pick-]")) act(e.target, e) }, true)
  const untouched = (field) => !edited.has(field) && !clicked.has(field)
  const begin = (field) => { edited.delete(field); clicked.delete(field) }
  const select = (field) => {  // in a moment: what else listens to a click sets the caret; not if a letter was faster
    const word = field.value
    requestAnimationFrame(() => { if (field.value === word) field.select() })
  }
  on("focusin", (field) => { if (untouched(field)) select(field) })
  on("click", (field) => { if (untouched(field)) select(field); clicked.add(field) })
  on("focusout", begin)
  on("input", (field) => { own.set(field, field.value); edited.add(field) })
  on("keydown", (field, { key }) => {
    if (key === "Enter") { own.set(field, field.value); begin(field); field.select() } })
  on("beforeinput", (field, { inputType }) => {
    if (inputType.startsWith("insert") && own.get(field) !== field.value) field.select() })
  return true
})()
"""

# Focus, announcements, names; see there.
ASSIST = Path(__file__).with_name("assist.js").read_text(encoding="utf-8")

ALL = (
    PICTURES_FIRST,
    DROP_AND_PASTE,
    UNDELIVERED,
    SCROLL_TO_TOP,
    RERUN_ON_RECONNECT,
    ENTRY_PER_GESTURE,
    SELECT_WORD,
    ASSIST,
)


def element(script: str, occasion: str = "") -> str:
    """Return HTML that runs a script of `ALL` once for each `occasion`: Streamlit does not rerun equal elements."""
    return f'<span hidden data-occasion="{occasion}"></span><script>{script}</script>'
