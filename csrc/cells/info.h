// What the time loops and the outside know about a cell; its equations are in the cell's own file.
//
// A row of gates is [block of 16 units][slot][16]. Slots hold pre-activations, then activations, then gradients. The
// input projection fills slots 0 .. num_gates - 1; each recurrent product adds to a run of slots.
#pragma once

namespace rnnkit {

// Vectors of a step: h, the cell's own (r∘h), the memory before and after. Products multiply the first two, peepholes
// the others.
enum class Source { hidden, reset_hidden, memory_before, memory };

struct RecurrentProduct {
  Source source;
  int first_slot, num_slots;
  int gates[4];  // torch's gate number of each of these slots
};

// A weight for each unit, from the memory before or after the step to a slot of the same unit.
struct Peephole {
  int slot;
  Source source;
};

struct CellInfo {
  const char* name;
  int num_gates;
  const char* gates[4];  // in torch's order, which is the order of the weights
  int num_parts;
  const char* parts[2];  // of the state; the first is also the output
  int num_slots;
  int input_gates[4];                 // torch's gate number of slots 0 .. num_gates - 1
  int num_products;                   // 0: no step waits for another one's product
  RecurrentProduct products[2] = {};  // in the order of the step
  int num_peepholes = 0;
  Peephole peepholes[3] = {};  // in the order of weight_peephole
  bool is_projected = false;   // h is W_hr [P, H] times what the equations give

  constexpr int num_phases() const { return num_products > 0 ? num_products : 1; }  // of a step's equations
  constexpr int num_stages() const { return num_phases() + is_projected; }          // of a step: each reads all units
  constexpr bool has_inner() const { return num_products > 1 || is_projected; }     // needs room for `reset_hidden`
};

}  // namespace rnnkit
