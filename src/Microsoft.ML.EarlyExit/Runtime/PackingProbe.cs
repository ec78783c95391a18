using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Whether ONNX Runtime, once a session is made, reads a product's matrix only in a layout of its own, so that the memory it was given is free. That depends on
/// its version, the processor and the shape, and no call tells, so it is tried: a matrix of ones is cleared behind a session's back. Not for several threads at
/// once.
/// </summary>
internal sealed unsafe class PackingProbe(Func<SessionOptions> createOptions)
{
    private const string Input = "input";
    private const string Matrix = "matrix";
    private const string Output = "output";

    // One row takes another way than several.
    private static readonly int[] s_inputs = [1, 8];

    private readonly Dictionary<(int, int), bool> _known = [];

    /// <summary>Whether that holds for matrices of so many rows and columns.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="weightsFile">A file in the folder that the options name.</param>
    public bool Packs(int rows, int columns, string weightsFile)
    {
        if (_known.TryGetValue((rows, columns), out bool packs))
            return packs;
        try
        {
            return _known[(rows, columns)] = Try(rows, columns, weightsFile);
        }
        catch (Exception exception) when (RowMemory.IsExhausted(exception))
        {
            // Only memory would be saved; the next session asks again.
            return false;
        }
    }

    private bool Try(int rows, int columns, string weightsFile)
    {
        using var matrix = new NativeBuffer((long)rows * columns * sizeof(float));
        for (int row = 0; row < rows; row++)
            matrix.Span<float>((long)row * columns, columns).Fill(1);
        using OrtValue value = BoundTensor.Floats(matrix, rows, columns);
        using SessionOptions options = createOptions();
        options.AddInitializer(Matrix, value);
        using var packed = new PrePackedWeightsContainer();
        using var session = new InferenceSession(Model(rows, columns, weightsFile), options, packed);
        NativeMemory.Clear((void*)matrix.Address, (nuint)matrix.Bytes);
        using var run = new RunOptions();
        foreach (int count in s_inputs)
        {
            float[] ones = new float[count * rows];
            ones.AsSpan().Fill(1);
            using OrtValue input = OrtValue.CreateTensorValueFromMemory(ones, [count, rows]);
            using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(run, [Input], [input], [Output]);
            if (outputs[0].GetTensorDataAsSpan<float>().ContainsAnyExcept((float)rows))
                return false;
        }

        return true;
    }

    private static byte[] Model(int rows, int columns, string weightsFile)
    {
        var graph = new GraphProto { Name = "product" };
        graph.Input.Add(Value(Input, rows));
        graph.Output.Add(Value(Output, columns));
        graph.Initializer.Add(new TensorProto
        {
            Name = Matrix,
            DataType = (int)DataType.Float,
            Dims = { rows, columns },
            DataLocation = TensorProto.Types.DataLocation.External,
            ExternalData = { new StringStringEntryProto { Key = "location", Value = weightsFile } },
        });
        graph.Node.Add(new NodeProto { Name = "product", OpType = "MatMul", Input = { Input, Matrix }, Output = { Output } });
        return new ModelProto
        {
            IrVersion = GraphContract.IrVersion,
            Graph = graph,
            OpsetImport = { new OperatorSetIdProto { Domain = "", Version = GraphContract.OpsetVersion } },
        }.ToByteArray();

        static ValueInfoProto Value(string name, int width)
        {
            var shape = new TensorShapeProto();
            shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimParam = "rows" });
            shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimValue = width });
            var type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)DataType.Float, Shape = shape } };
            return new ValueInfoProto { Name = name, Type = type };
        }
    }
}
