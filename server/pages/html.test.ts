import { expect, test } from "vitest";
import { html } from "./html.ts";

test("values are escaped, fragments are not escaped twice", () => {
  const inner = html`<b>${"<script>\"&'"}</b>`;
  expect(html`<p title="${'"x'}">${inner}${[inner]}</p>`.text).toBe(
    '<p title="&quot;x"><b>&lt;script&gt;&quot;&amp;&#39;</b><b>&lt;script&gt;&quot;&amp;&#39;</b></p>',
  );
});

test("text cannot hide or reorder what is shown", () => {
  expect(html`${"a\u202eb\u0000c\nd\te"}`.text).toBe("a\uFFFDb\uFFFDc\nd\te");
});
