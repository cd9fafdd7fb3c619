// Adopted by the dialog: a strict content security policy blocks <style> elements.
export const css = `
dialog {
  --ink: #171a21; --soft: #596070; --line: #858c9a; --paper: #fff; --bad: #c0272d;
  --mark: oklch(from var(--fill) min(l, .53) c h);
  color-scheme: light dark; width: 400px; max-width: calc(100% - 24px); border: 0; border-radius: 20px; padding: 0;
  background: var(--paper); color: var(--ink); box-shadow: 0 24px 64px #0006;
}
@media (prefers-color-scheme: dark) {
  dialog {
    --ink: #f2f4f8; --soft: #adb4c1; --line: #7d8594; --paper: #1d2026; --bad: #ff9189;
    --mark: oklch(from var(--fill) max(l, .75) c h);
  }
}
dialog::backdrop { background: #10141b99 }
dialog > div { padding: 28px }
[hidden], .wrong:empty { display: none !important }
h2 { margin: 0; font-size: 24px; line-height: 1.25 }
p { margin: 8px 0 0; color: var(--soft) }
h2, p { text-wrap: balance }
b { display: block; margin-top: 12px; font-size: 20px }
form { display: grid; margin-top: 20px }
label { margin-bottom: 6px; font-size: 14px; font-weight: 600 }
dialog :is(input, button) {
  box-sizing: border-box; width: 100%; height: 56px; margin: 0; padding: 0 16px; border: 1px solid var(--line);
  border-radius: 12px; background: var(--paper); color: inherit; font: inherit; font-size: 20px;
}
::placeholder { color: var(--soft); opacity: 1 }
[aria-invalid=true] { --mark: var(--bad); --line: var(--bad) }
.wrong { margin-top: 6px; color: var(--bad); font-size: 14px }
button + .wrong { margin-top: 16px; text-align: center }
label:has(input) { display: flex; gap: 12px; margin: 20px 0 0; font-weight: 400; color: var(--soft) }
dialog [type=checkbox] { flex: none; width: 20px; height: 20px; accent-color: var(--mark) }
a { color: var(--mark) }
a[href^=tel] { display: block; margin-top: 12px; padding: 8px; text-align: center; font-weight: 600 }
dialog button {
  margin-top: 24px; border-color: #0000; background: var(--fill) border-box; color: var(--on); font-size: 17px;
  font-weight: 600; cursor: pointer;
}
[aria-disabled=true] { filter: grayscale(.7) }
dialog .close {
  position: absolute; top: 18px; inset-inline-end: 16px; width: 44px; height: 44px; margin: 0; padding: 0;
  background: none; color: var(--soft); font: 28px/1 sans-serif;
}
dialog :focus-visible { outline: 3px solid var(--mark); outline-offset: 2px }
dialog input:focus-visible { outline-width: 2px; outline-offset: -2px }
.form h2 { padding-inline-end: 40px }
dialog:not(.form) .icon {
  --disc: color-mix(in srgb, var(--mark) 15%, #0000); position: relative; padding-top: 92px; text-align: center;
  background: radial-gradient(circle at 50% 36px, var(--disc) 35px, #0000 36px);
}
dialog:not(.form) .icon:before { position: absolute; inset: 24px 0 auto; margin: auto; scale: 1.5; color: var(--mark) }
.delivered .icon { --disc: var(--fill) !important; --mark: var(--on) }
.failed .icon { --mark: var(--bad) }
.failed .icon:before { rotate: 135deg }
@media (max-width: 599px) { dialog { margin-top: 12px } dialog > div { padding: 24px 20px 20px } }
@media (prefers-reduced-motion: no-preference) {
  dialog[open] { animation: in .25s }
  @keyframes in { from { opacity: 0; translate: 0 16px } }
  .delivered .icon:before { animation: ring 1s infinite }
  @keyframes ring { 0%, 50% { rotate: 0deg } 10%, 30% { rotate: -14deg } 20%, 40% { rotate: 14deg } }
}`;
