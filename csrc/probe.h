/* minibox-engine --probe: see probe.c. */
#pragma once

/* Try each mechanism and print what came of it; *words* are what follows --probe. Exit status. */
int mb_probe(int count, char *const words[]);
