/* main.c: which role this process plays. */
#include "light.h"

int main(int argc, char **argv) {
  /* The agent is started by the host from a descriptor, with a fixed name and no environment. */
  if (argc > 0 && !strcmp(argv[0], "agent")) return agent_main(argc, argv);
  if (argc > 1 && !strcmp(argv[1], "host")) return host_main(argc, argv);
  if (argc > 1 && !strcmp(argv[1], "container")) return container_main(argc, argv);
  if (argc > 1 && !strcmp(argv[1], "reap")) {
    printf("%d\n", cgroups_reap(NULL));
    return 0;
  }
  dprintf(2, "usage: light host RUN-FOLDER AGENT | light container SOCKET ID | light reap\n");
  return 64;
}
