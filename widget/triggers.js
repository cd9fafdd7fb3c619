// Opens the dialog by itself, if the site wishes it: once a day, and never in the middle of something.

/** @type {Watch} */
export const watch = ({ exit_intent, seconds, scroll }, { on }, prepare) => {
  const day = new Date().toDateString();
  // Throws where nothing can be stored: nobody could tell there that it has been today.
  const isDue = () => localStorage.chaser_callback !== day;
  const open = async () => {
    const isFree = document.activeElement?.matches("body, a, button")
      && ![...document.querySelectorAll("dialog[open], [role*=dialog]")].some(it => it.checkVisibility());
    if (isFree && isDue()) (await prepare())?.open();
  };
  if (!isDue()) return;
  let passed = 0;
  setInterval(() => {
    const { scrollTop, scrollHeight, clientHeight } = document.documentElement;
    if (!document.hidden) passed++;
    if (seconds && passed >= seconds
      || scroll && scrollTop && scrollTop + 1 > (scrollHeight - clientHeight) * scroll / 100) open();
  }, 1000);
  document.addEventListener("mouseout", ({ relatedTarget, clientY }) => {
    if (exit_intent && !relatedTarget && clientY < 1) open();
  });
  on("open", () => { localStorage.chaser_callback = day; });
};
