// y = x W^T + b and its gradient, over the products of csrc/gemm.
#include "gemm/gradient.h"
#include "gemm/pack.h"
#include "gemm/product.h"
#include "heads/functions.h"
#include "memory.h"
#include "threads/parallel.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kWorthAWorker = 1 << 18;  // multiplications: about ten microseconds, against two for waking a worker

Packed<float> layout(int64_t depth, int64_t columns) { return {nullptr, depth, ceil_div(columns, kLanes), kPanel}; }

// As many workers as have something to do, never more than there are.
int workers_for(int64_t multiplications) {
  return static_cast<int>(
      larger<int64_t>(1, smaller<int64_t>(threads::get_num_threads(), multiplications / kWorthAWorker)));
}

// Calls multiply() on this worker's share, split along the longer of the two axes of y.
void multiply_share(const Product<float>& product, int64_t rows, const threads::Worker& worker) {
  const int64_t panels = product.weight.num_panels();
  if (panels * 8 >= rows) {
    const Range range = share(panels, worker.index, worker.size);
    multiply<F>(product, 0, rows, range.begin, range.end);
  } else {
    const Range range = share(rows, worker.index, worker.size);
    multiply<F>(product, range.begin, range.end, 0, panels);
  }
}

}  // namespace

PackedLinearSize packed_linear_size(int64_t inputs, int64_t outputs) {
  return {layout(inputs, outputs).size(), ceil_div(outputs, kLanes) * kLanes};
}

void pack_linear(const float* weight, const float* bias, const PackedLinear& packed) {
  const Packed<float> shape = layout(packed.inputs, packed.outputs);
  Place* places = static_cast<Place*>(memory::acquire(static_cast<size_t>(shape.num_vectors) * sizeof(Place)));
  plain_places(packed.outputs, places);
  parallel_for(shape.num_panels(), larger<int64_t>(1, kWorthAWorker / 64 / larger<int64_t>(1, packed.inputs)),
               [&](int64_t begin, int64_t end) {
                 pack_rows<F>(weight, packed.inputs, places, shape, packed.weight, begin, end);
               });
  memory::release(places);
  if (bias == nullptr) return;
  memcpy(packed.bias, bias, static_cast<size_t>(packed.outputs) * sizeof(float));
  for (int64_t o = packed.outputs; o < shape.num_vectors * kLanes; ++o) packed.bias[o] = 0;
}

void linear(const PackedLinear& packed, const float* x, int64_t rows, float* y) {
  Product<float> product{
      {x, packed.inputs}, {1, packed.inputs, 0}, layout(packed.inputs, packed.outputs), nullptr, {y, packed.outputs}};
  product.weight.data = packed.weight;
  product.last_lanes = packed.outputs - (product.weight.num_vectors - 1) * kLanes;
  product.bias = packed.bias;
  parallel(workers_for(rows * packed.inputs * packed.outputs),
           [&](const threads::Worker& worker) { multiply_share(product, rows, worker); });
}

void linear_gradient(const LinearGradient& call) {
  const int64_t vectors = ceil_div(call.inputs, kLanes), num_places = ceil_div(call.outputs, kLanes);
  Packed<float> columns = layout(call.outputs, call.inputs);
  Place* places = static_cast<Place*>(memory::acquire(static_cast<size_t>(num_places) * sizeof(Place)));
  plain_places(call.outputs, places);
  float* packed =
      static_cast<float*>(memory::acquire(call.dx ? static_cast<size_t>(columns.size()) * sizeof(float) : 1));
  columns.data = packed;
  const Product<float> product{{call.dy, call.outputs},
                               {1, call.outputs, 0},
                               columns,
                               nullptr,
                               {call.dx, call.inputs},
                               call.inputs - (vectors - 1) * kLanes};
  const WeightGradient<float> gradient_call{{call.dy, call.outputs},
                                            places,
                                            num_places,
                                            {call.x, call.inputs},
                                            call.inputs,
                                            call.rows,
                                            call.dweight,
                                            call.dbias};
  const int wanted = workers_for((call.rows + 1) * call.inputs * call.outputs);
  const size_t scratch_size = static_cast<size_t>(gradient_scratch<float>(vectors)) * sizeof(float);
  parallel(wanted, [&](const threads::Worker& worker) {
    if (call.dx) {
      const Range panels = share(columns.num_panels(), worker.index, worker.size);
      pack_columns<F>(call.weight, call.inputs, places, num_places, false, columns, packed, panels.begin, panels.end);
      threads::wait(worker);
      multiply_share(product, call.rows, worker);
    }
    float* scratch = static_cast<float*>(memory::acquire(scratch_size));
    const Range mine = share(num_places, worker.index, worker.size);
    gradient<F>(gradient_call, mine.begin, mine.end, 0, vectors, scratch);
    memory::release(scratch);
  });
  memory::release(packed);
  memory::release(places);
}

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
