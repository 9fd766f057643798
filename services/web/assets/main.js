// What every page starts: ages, and the parts that are kept current.
import { followBuild } from "./build.js";
import { load, morph } from "./morph.js";
import { showTimes } from "./time.js";

const REFRESH_EVERY = 2000;

showTimes();
setInterval(() => showTimes(), 1000);

const log = document.getElementById("log");
if (log) followBuild(log);

if (document.querySelector("[data-live]")) {
  const refresh = async () => {
    if (!document.hidden) {
      try {
        const fresh = await load(location.href);
        morph(document.querySelector("[data-live]"), fresh.querySelector("[data-live]"));
      } catch (error) {
        console.warn(error);
      }
    }
    setTimeout(refresh, REFRESH_EVERY);
  };
  setTimeout(refresh, REFRESH_EVERY);
}
