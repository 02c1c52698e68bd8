"""JavaScript that runs in the page; the Content-Security-Policy allows only these scripts, by their digests."""

from __future__ import annotations

# The uploader accepts every file, because the content decides what a file is, not its name. The browser's file dialog
# is told to list pictures first; a filter by extension would hide pictures whose extension the system does not know.
PICTURES_FIRST = """
window.fcnPicturesFirst ||= document.addEventListener("click", () => document.querySelectorAll(
  "[class*=st-key-upload] input[type=file]").forEach((input) => {
    input.accept = "image/*,.heic,.heif,.avif,.jfif,.mpo"; }), true) || true;
"""

# Streamlit keeps the scroll position when the page changes.
SCROLL_TO_TOP = """
document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
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

# The field for a word shows the chosen one. What is typed replaces it: it is selected when the field is entered, after
# Enter, and before a letter is added to a word that the page has written. While the user edits, nothing is selected.
SELECT_WORD = """
window.fcnSelectWord ||= (() => {
  const own = new WeakMap(), edited = new WeakSet()
  const on = (event, act) => document.addEventListener(event, (e) => {
    if (e.target.type === "search" && e.target.closest("[class*=-pick-]")) act(e.target, e) }, true)
  const select = (field) => { if (!edited.has(field)) requestAnimationFrame(() => field.select()); edited.add(field) }
  on("focusin", select)
  on("click", select)
  on("focusout", (field) => edited.delete(field))
  on("input", (field) => { own.set(field, field.value); edited.add(field) })
  on("keydown", (field, { key }) => {
    if (key === "Enter") { own.set(field, field.value); edited.delete(field); field.select() } })
  on("beforeinput", (field, { inputType }) => {
    if (inputType.startsWith("insert") && own.get(field) !== field.value) field.select() })
  return true
})()
"""

ALL = (PICTURES_FIRST, SCROLL_TO_TOP, RERUN_ON_RECONNECT, SELECT_WORD)


def element(script: str, occasion: str = "") -> str:
    """Return HTML that runs a script of `ALL` once for each `occasion`: Streamlit does not rerun equal elements."""
    return f'<span hidden data-occasion="{occasion}"></span><script>{script}</script>'
