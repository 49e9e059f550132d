import numpy as np
import pytest
import safetensors.numpy

from rnnkit.bundle import tensors
from rnnkit.errors import DtypeError, TensorError


def some_arrays():
    rng = np.random.default_rng(1)
    arrays = {
        name: rng.normal(size=(3, 5)).astype(dtype) if dtype.kind == "f" else rng.integers(0, 2, (2, 3)).astype(dtype)
        for name, dtype in tensors.DTYPES.items()
    }
    return arrays | {"empty": np.zeros((0, 4), np.float32), "scalar": np.array(2.5, np.float32), "naïve": np.ones(1)}


def test_the_library_reads_what_we_write():
    arrays = some_arrays()
    read = safetensors.numpy.load(b"".join(bytes(piece) for piece in tensors.pack(arrays)))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, err_msg=name)
        assert read[name].dtype == array.dtype


def test_we_read_what_the_library_writes():
    arrays = some_arrays()
    read = tensors.unpack(safetensors.numpy.save(arrays, metadata={"by": "another"}))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, err_msg=name)
        assert read[name].dtype == array.dtype


def test_arrays_that_do_not_lie_in_a_row_are_written_by_value():
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {"transposed": whole.T, "strided": whole[::2, 1:4], "fortran": np.asfortranarray(whole)}
    read = tensors.unpack(b"".join(bytes(piece) for piece in tensors.pack(arrays)))
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, err_msg=name)


def test_an_unpadded_header_gives_aligned_arrays():
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    header += b" " * ((3 - len(header)) % 8)  # ends at no multiple of 4
    data = len(header).to_bytes(8, "little") + header + np.array([1, 2], np.float32).tobytes()
    array = tensors.unpack(data)["a"]
    assert array.flags.aligned
    assert array.tolist() == [1, 2]


def test_a_dtype_that_other_readers_may_not_know_is_not_written():
    with pytest.raises(DtypeError, match="tensor z has dtype complex128; a bundle stores float64, float32"):
        tensors.pack({"z": np.zeros(1, complex)})


def test_the_first_value_that_is_no_number_is_named_wherever_it_stands():
    array = np.zeros((3, tensors._CHUNK // 2), np.float32)
    tensors.check_finite({"a": array, "scalar": np.array(1.0, np.float32), "none": np.zeros((0, 2), np.float32)})
    array[2, 5] = np.inf  # in the second chunk
    with pytest.raises(TensorError, match=r"tensor a holds inf at \[2, 5\]"):
        tensors.check_finite({"a": array})
