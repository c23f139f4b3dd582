/** Prints the table of contents of the Markdown text on standard input. */

import { readFileSync } from "node:fs";

const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;

function* headings(text) {
  let fence = null;
  for (const line of text.split("\n")) {
    const mark = FENCE.exec(line);
    if (fence !== null) {
      if (mark !== null && mark[1][0] === fence[0] && mark[1].length >= fence.length && mark[2].trim() === "") fence = null;
      continue;
    }
    if (mark !== null) {
      fence = mark[1];
      continue;
    }
    const heading = HEADING.exec(line);
    if (heading === null) continue;
    const title = ` ${heading[2]}`.replace(/[ \t]+#+[ \t]*$/, "").trim();
    if (title !== "") yield { level: heading[1].length, title };
  }
}

function slugs() {
  const used = new Set();
  return (title) => {
    const plain = title.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
    let slug = plain;
    for (let number = 1; used.has(slug); number++) slug = `${plain}-${number}`;
    used.add(slug);
    return slug;
  };
}

function options(argumentList) {
  const found = { min: 1, max: 6 };
  for (let index = 0; index < argumentList.length; index += 2) {
    const name = /^--(min|max)$/.exec(argumentList[index])?.[1];
    const value = argumentList[index + 1] ?? "";
    if (name === undefined || !/^[1-6]$/.test(value)) return null;
    found[name] = Number(value);
  }
  return found;
}

function main() {
  const limits = options(process.argv.slice(2));
  if (limits === null) {
    console.error("usage: toc.mjs [--min N] [--max N]");
    process.exitCode = 2;
    return;
  }
  const slug = slugs();
  const all = [...headings(readFileSync(0, "utf8"))].map((heading) => ({ ...heading, slug: slug(heading.title) }));
  const shown = all.filter(({ level }) => level >= limits.min && level <= limits.max);
  const smallest = Math.min(...shown.map(({ level }) => level));
  for (const { level, title, slug: target } of shown)
    console.log(`${"  ".repeat(level - smallest)}- [${title.replace(/[[\]]/g, "\\$&")}](#${target})`);
}

main();
