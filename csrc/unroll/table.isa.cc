// The cells of one instruction set: a new cell is one line here.
#include "unroll/table.h"

#include "cells/elman.h"
#include "cells/gru.h"
#include "cells/lstm.h"
#include "cells/lstm_coupled.h"
#include "cells/lstm_peephole.h"
#include "cells/lstm_projected.h"
#include "cells/minimal.h"
#include "gemm/pack.h"
#include "unroll/backward.h"
#include "unroll/forward.h"

namespace rnnkit::RNNKIT_ISA_NAMESPACE {

namespace {

template <class Cell, class V, class T, class S = typename V::Scalar>
constexpr CellFunctions<S, T> functions() {
  CellFunctions<S, T> functions{&Cell::info, &forward<Cell, V, T>, &prepare_part<Cell, V, T>,
                                &forward_part<Cell, V, T>};
  if constexpr (!kIsScaled<T>) functions.backward = &backward<Cell, V, T>;
  return functions;
}

template <class V, class T, class S = typename V::Scalar>
constexpr CellFunctions<S, T> kCells[] = {
    functions<Elman<Tanh>, V, T>(),  functions<Elman<Relu>, V, T>(),   functions<Lstm, V, T>(),
    functions<LstmPeephole, V, T>(), functions<LstmCoupled, V, T>(),   functions<GruBefore, V, T>(),
    functions<GruAfter, V, T>(),     functions<LstmProjected, V, T>(), functions<MinGru, V, T>(),
    functions<MinLstm, V, T>(),
};

template <class T>
int64_t panels_worth_a_worker(const Packed<T>& packed) {
  return larger<int64_t>(1, 65536 / (packed.panel * kLanes * larger<int64_t>(1, packed.depth)));
}

template <class V, class T, class S = typename V::Scalar>
void pack_rows_together(const S* weight, int64_t inputs, const Place* places, const Packed<T>& packed, T* out) {
  parallel_for(packed.num_panels(), panels_worth_a_worker(packed),
               [&](int64_t begin, int64_t end) { pack_rows<V>(weight, inputs, places, packed, out, begin, end); });
}

template <class V, class T, class S = typename V::Scalar>
void pack_columns_together(const S* weight, int64_t columns, const Place* places, int64_t num_places,
                           const Packed<T>& packed, T* out) {
  parallel_for(packed.num_panels(), panels_worth_a_worker(packed), [&](int64_t begin, int64_t end) {
    pack_columns<V>(weight, columns, places, num_places, true, packed, out, begin, end);
  });
}

template <class V, class T, class S = typename V::Scalar>
constexpr RecurrentTable<S, T> table() {
  RecurrentTable<S, T> table{sizeof(kCells<V, T>) / sizeof(kCells<V, T>[0]), kCells<V, T>, &pack_rows_together<V, T>,
                             &pack_rows_together<V, S>};
  if constexpr (!kIsScaled<T>) table.pack_columns = &pack_columns_together<V, T>;
  return table;
}

}  // namespace

extern const RecurrentTable<float> recurrent_table;
const RecurrentTable<float> recurrent_table = table<Vec<float>, float>();
extern const RecurrentTable<float, Pair> recurrent_bf16_table;
const RecurrentTable<float, Pair> recurrent_bf16_table = table<Vec<float>, Pair>();
#if defined(RNNKIT_ISA_AMX)
extern const RecurrentTable<float, Triple> recurrent_split_table;
const RecurrentTable<float, Triple> recurrent_split_table = table<Vec<float>, Triple>();
#endif
extern const RecurrentTable<float, Quad> recurrent_int8_table;
const RecurrentTable<float, Quad> recurrent_int8_table = table<Vec<float>, Quad>();

#if defined(RNNKIT_ISA_PORTABLE)
extern const RecurrentTable<double> recurrent_double_table;
const RecurrentTable<double> recurrent_double_table = table<Vec<double>, double>();
#endif

}  // namespace rnnkit::RNNKIT_ISA_NAMESPACE
