using Microsoft.ML.EarlyExit.Interop;

namespace Microsoft.ML.EarlyExit.Tests;

public class MLNetInteropTests
{
    [Fact]
    public void A_member_that_ML_NET_lacks_is_reported_with_its_version()
    {
        Exception[] causes =
            [new MissingMethodException("gone"), new MissingFieldException("gone"), new TypeLoadException("gone"), new MethodAccessException("gone")];
        foreach (Exception missing in causes)
        {
            NotSupportedException exception = Assert.Throws<NotSupportedException>(() => MLNetInterop.Guard<int>(() => throw missing));
            Assert.Matches(@"Microsoft\.ML 5\.\d+\.\d+.*\(gone\)", exception.Message);
            Assert.Same(exception, exception.GetBaseException());
        }
    }

    [Fact]
    public void A_native_library_that_is_missing_is_not_mistaken_for_it() =>
        Assert.Throws<DllNotFoundException>(() => MLNetInterop.Guard<int>(() => throw new DllNotFoundException("onnxruntime")));

    [Fact]
    public void The_environment_of_a_catalog_is_the_contexts()
    {
        var context = new MLContext { GpuDeviceId = 3, FallbackToCpu = false, TempFilePath = Path.GetTempPath() };
        Assert.Equal((3, false), MLNetInterop.GetDevice(MLNetInterop.GetEnvironment(context.Transforms.Text)));
        Assert.Equal(Path.GetTempPath(), MLNetInterop.GetTempPath(context));
    }
}
