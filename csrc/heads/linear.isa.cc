// y = x W^T + b and its gradient, over the products of csrc/gemm.
#include "gemm/gradient.h"
#include "gemm/pack.h"
#include "gemm/product.h"
#include "gemm/quads.h"
#include "heads/functions.h"
#include "heads/operand_rows.h"
#include "memory.h"
#include "threads/parallel.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kWorthAWorker = 1 << 18;  // multiplications: about ten microseconds, against two for waking a worker

template <class T>
Packed<T> layout(int64_t depth, int64_t columns) {
  return {nullptr, depth, ceil_div(columns, kLanes), kPanel};
}

// As many workers as have something to do, never more than there are.
int workers_for(int64_t multiplications) {
  return static_cast<int>(
      larger<int64_t>(1, smaller<int64_t>(threads::get_num_threads(), multiplications / kWorthAWorker)));
}

template <class T>
Product<float, T> product_of(const PackedLinear<T>& packed, Rows<const Left<T>> x, float* y) {
  Packed<T> weight = layout<T>(packed_depth<T>(packed.inputs), packed.outputs);
  weight.data = packed.weight;
  return {.x = x,
          .depth = {1, operands<T>(packed.inputs), 0},
          .weight = weight,
          .places = nullptr,
          .y = {y, packed.outputs},
          .last_lanes = packed.outputs - (weight.num_vectors - 1) * kLanes,
          .bias = packed.bias};
}

// Calls multiply() on this worker's share, split along the longer of the two axes of y.
template <class T>
void multiply_share(const Product<float, T>& product, int64_t rows, const threads::Worker& worker) {
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

template <class T>
PackedLinearSize packed_linear_size(int64_t inputs, int64_t outputs) {
  return {layout<T>(packed_depth<T>(inputs), outputs).size(), ceil_div(outputs, kLanes) * kLanes};
}

template <class T>
void pack_linear(const float* weight, const float* bias, const PackedLinear<T>& packed) {
  const Packed<T> shape = layout<T>(packed_depth<T>(packed.inputs), packed.outputs);
  Place* places = memory::acquire<Place>(shape.num_vectors);
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

template <class T>
void linear(const PackedLinear<T>& packed, const float* x, int64_t rows, float* y) {
  const OperandRows<T> x_rows(x, rows, packed.inputs);
  const Product<float, T> product = product_of(packed, x_rows.rows(), y);
  parallel(workers_for(rows * packed.inputs * packed.outputs),
           [&](const threads::Worker& worker) { multiply_share(product, rows, worker); });
}

template <class T>
void linear_part(const PackedLinear<T>& packed, const float* x, int64_t rows, float* y, int64_t part, int64_t parts) {
  const OperandRows<T> x_rows(x, rows, packed.inputs);
  const Product<float, T> product = product_of(packed, x_rows.rows(), y);
  const Range mine = share(product.weight.num_panels(), static_cast<int>(part), static_cast<int>(parts));
  multiply<F>(product, 0, rows, mine.begin, mine.end);
  release_tiles();
}

template <class T>
void linear_gradient(const LinearGradient& call) {
  const int64_t vectors = ceil_div(call.inputs, kLanes), num_places = ceil_div(call.outputs, kLanes);
  Packed<T> columns = layout<T>(stored<T>(call.outputs), call.inputs);
  Place* places = memory::acquire<Place>(num_places);
  plain_places(call.outputs, places);
  T* packed = memory::acquire<T>(call.dx ? columns.size() : 1);
  columns.data = packed;
  const OperandRows<T> dy_rows(call.dy, call.dx ? call.rows : 0, call.outputs);
  const Product<float, T> product{.x = dy_rows.rows(),
                                  .depth = {1, operands<T>(call.outputs), 0},
                                  .weight = columns,
                                  .places = nullptr,
                                  .y = {call.dx, call.inputs},
                                  .last_lanes = call.inputs - (vectors - 1) * kLanes};
  const WeightGradient<float> gradient_call{{call.dy, call.outputs},
                                            places,
                                            num_places,
                                            {call.x, call.inputs},
                                            call.inputs,
                                            call.rows,
                                            call.dweight,
                                            call.dbias};
  const int wanted = workers_for((call.rows + 1) * call.inputs * call.outputs);
  parallel(wanted, [&](const threads::Worker& worker) {
    if (call.dx) {
      const Range panels = share(columns.num_panels(), worker.index, worker.size);
      pack_columns<F>(call.weight, call.inputs, places, num_places, false, columns, packed, panels.begin, panels.end);
      threads::wait(worker);
      multiply_share(product, call.rows, worker);
    }
    T* scratch = memory::acquire<T>(gradient_scratch<T>(vectors));
    const Range mine = share(num_places, worker.index, worker.size);
    gradient<F>(gradient_call, mine.begin, mine.end, 0, vectors, scratch);
    memory::release(scratch);
  });
  memory::release(packed);
  memory::release(places);
}

#define RNNKIT_LINEAR(T)                                                         \
  template PackedLinearSize packed_linear_size<T>(int64_t, int64_t);             \
  template void pack_linear(const float*, const float*, const PackedLinear<T>&); \
  template void linear(const PackedLinear<T>&, const float*, int64_t, float*);   \
  template void linear_part(const PackedLinear<T>&, const float*, int64_t, float*, int64_t, int64_t)
RNNKIT_LINEAR(float);
RNNKIT_LINEAR(Pair);
RNNKIT_LINEAR(Quad);
#if defined(RNNKIT_ISA_AMX)
RNNKIT_LINEAR(Triple);
template void linear_gradient<Triple>(const LinearGradient&);
#endif
template void linear_gradient<float>(const LinearGradient&);
template void linear_gradient<Pair>(const LinearGradient&);

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
