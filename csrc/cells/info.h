// What the time loops and the outside know about a cell; its equations are in the cell's own file.
//
// A row of gates is [block of 16 units][slot][16]. Slots hold pre-activations, then activations, then gradients. The
// input projection fills slots 0 .. num_gates - 1; each recurrent product adds to a run of slots.
#pragma once

namespace rnnkit {

enum class Source { hidden, reset_hidden };  // what a recurrent product multiplies: h, or the cell's own vector (r∘h)

struct RecurrentProduct {
  Source source;
  int first_slot, num_slots;
  int gates[4];  // torch's gate number of each of these slots
};

struct CellInfo {
  const char* name;
  int num_gates;
  const char* gates[4];  // in torch's order, which is the order of the weights
  int num_parts;
  const char* parts[2];  // of the state; the first is also the output
  int num_slots;
  int input_gates[4];  // torch's gate number of slots 0 .. num_gates - 1
  int num_products;
  RecurrentProduct products[2];  // in the order of the step
};

}  // namespace rnnkit
