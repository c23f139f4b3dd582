/** Prints the table of contents of the Markdown text on standard input. */

console.error("not implemented");
process.exitCode = 1;
