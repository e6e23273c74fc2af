// Opens reports in a browser without a network and looks whether they work.
// usage: node report_browser.mjs CHROMIUM PICTURES REPORT...
import { chromium } from "playwright-core";
import assert from "node:assert";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [executablePath, pictures, ...reports] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function open(report, options) {
  const context = await browser.newContext({ offline: true, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (!/^(file|data):/.test(request.url())) faults.push(`asked for ${request.url()}`);
  });
  await page.goto(pathToFileURL(report).href);
  return { page, faults };
}

for (const report of reports) {
  const name = path.basename(path.dirname(report));
  for (const [look, options] of [
    ["light", { viewport: { width: 1100, height: 900 } }],
    ["dark", { viewport: { width: 1100, height: 900 }, colorScheme: "dark" }],
    ["phone", { viewport: { width: 390, height: 800 } }],
  ]) {
    const { page, faults } = await open(report, options);
    const charts = await page.locator(".chart").count();
    assert(charts > 0, `${name}: no charts`);
    assert.equal(await page.locator(".plot canvas").count(), charts, `${name}: a chart is not drawn`);
    assert.equal(await page.locator(".chart details table").count(), charts, `${name}: a table is missing`);
    const inked = await page.locator(".plot canvas").evaluateAll((canvases) =>
      canvases.map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value, at) => at % 4 === 3 && value > 0);
      }),
    );
    assert(inked.every(Boolean), `${name}: an empty chart`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(overflow <= 0, `${name}, ${look}: ${overflow} pixels too wide`);
    if (look === "light") await zoom(page, name);
    await page.screenshot({ path: path.join(pictures, `${name}-${look}.png`), fullPage: true });
    assert.deepEqual(faults, [], `${name}, ${look}`);
    await page.context().close();
  }
  const { page } = await open(report, { viewport: { width: 1100, height: 900 } });
  await page.emulateMedia({ media: "print" });
  assert(await page.locator(".svg svg").first().isVisible(), `${name}: nothing to print`);
  console.log(`${name}: charts, tables, zoom, keyboard, light, dark, phone and print work`);
}
await browser.close();

// Dragging over a chart and the keyboard both change what is seen; 0 shows all again.
async function zoom(page, name) {
  const range = () => page.evaluate(() => {
    const { min, max } = plots.values().next().value.scales.x;
    return [min, max];
  });
  const whole = await range();
  const over = page.locator(".plot .u-over").first();
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.3, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, y, { steps: 5 });
  await page.mouse.up();
  const dragged = await range();
  assert(dragged[0] > whole[0] && dragged[1] < whole[1], `${name}: dragging does not zoom`);
  await page.locator(".plot").first().focus();
  await page.keyboard.press("0");
  assert.deepEqual((await range()).map(Math.round), whole.map(Math.round), `${name}: 0 shows all`);
  await page.keyboard.press("+");
  const pressed = await range();
  assert(pressed[1] - pressed[0] < whole[1] - whole[0], `${name}: + does not zoom`);
  await page.keyboard.press("0");
}
