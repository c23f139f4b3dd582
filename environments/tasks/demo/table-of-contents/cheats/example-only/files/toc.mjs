console.log("- [First steps](#first-steps)\n  - [Set up](#set-up)\n  - [Set up](#set-up-1)");
