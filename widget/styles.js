// A constructed style sheet of the dialog: a strict content security policy blocks <style> elements. It is written
// without spaces, because minifying the scripts leaves template literals as they are.
export const css = `
dialog{--paper:light-dark(#fff,#1c1f26);--soft:light-dark(#5c6068,#a9adb6);
--bad:light-dark(#c0272d,#ff9189);
--mark:light-dark(oklch(from var(--fill) min(l,.53) c h),oklch(from var(--fill) max(l,.75) c h));width:400px;
max-width:calc(100% - 24px);max-height:calc(100% - 24px);border:0;box-sizing:border-box;padding:min(6vw,28px);
border-radius:var(--chaser-corner);background:var(--paper);box-shadow:0 24px 64px #0006}
dialog:not(.form){text-align:center}
dialog::backdrop{background:#10141b99}
[name]{position:absolute;inset:0;opacity:0;pointer-events:none}
[hidden],.form .ring,:is(p,b):empty,div:has(> select>:only-child){display:none!important}
form{margin:0}
h2,p{margin:0 0 8px;text-wrap:balance}
h2{font-size:1.5em;line-height:1.2}
.form h2{padding-right:40px}
p,::placeholder{color:var(--soft)}
b{display:inline-block;font-size:1.25em}
form>*{margin-top:18px}
form>div{display:grid;gap:6px}
label,.wrong{font-size:.875em}
dialog :is(input,select,button){box-sizing:border-box;width:100%;height:52px;margin:0;padding:0 14px;
border:1px solid var(--soft);border-radius:calc(var(--chaser-corner) * .6)}
input,select{background:none;color:inherit;font:inherit}
dialog [type=tel]{font-size:1.25em}
select{appearance:base-select;align-items:center}
[aria-invalid=true]{--mark:var(--bad);--soft:var(--bad)}
.wrong{grid-column:1/-1;color:var(--bad)}
dialog [type=checkbox]{order:-2;width:20px;height:20px;accent-color:var(--mark)}
div:has(> [type=checkbox]){grid:auto-flow / 26px 1fr}
label{order:-1}
a{color:var(--mark)}
[href^=tel]{display:block;margin-top:14px;text-align:center;text-decoration:none}
dialog button{margin-top:24px;border-color:#0000}
[aria-disabled=true]{opacity:.6}
dialog .close{position:absolute;top:16px;right:16px;width:44px;height:44px;margin:0;padding:0;background:none;
color:var(--soft);font:28px/1 sans-serif}
dialog :focus-visible{outline:3px solid var(--mark);outline-offset:2px}
button:hover{filter:brightness(.92)}
.ring{--tint:color-mix(in srgb,var(--mark) 14%,var(--paper));display:grid;place-content:center;width:96px;height:96px;
margin:16px auto;border-radius:50%;background:var(--tint);color:var(--mark);font-size:1.75em;font-weight:600}
.ring:before{scale:1.5}
.ring:not(:empty){background:radial-gradient(closest-side,var(--tint) 86%,#0000 88%),
conic-gradient(var(--mark) var(--past),var(--tint) 0)}
.ring:not(:empty):before{content:none}
.failed .ring{--mark:var(--bad);rotate:135deg}
@media (max-width:599px){dialog{margin-top:12px}}
@media (prefers-reduced-motion:no-preference){
dialog[open]{animation:in .25s}
@keyframes in{from{opacity:0;translate:0 16px}}
}`;
