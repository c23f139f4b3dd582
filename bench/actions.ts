/** A call of the tool `bash`, as a model would send it. */
export const bashStep = (command: string) => ({
  message: {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c", type: "function", function: { name: "bash", arguments: JSON.stringify({ command }) } }],
  },
});
